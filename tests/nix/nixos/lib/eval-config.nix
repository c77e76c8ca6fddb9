# SPDX-License-Identifier: Apache-2.0
# Stands in for nixpkgs' nixos/lib/eval-config.nix: a configuration whose options of NixOS accept anything.
{ pkgs, modules, extraModules ? [ ], specialArgs ? { }, ... }:
let
  inherit (pkgs) lib;

  # Lists are joined, sets merged; otherwise the last definition counts.
  loose = lib.mkOptionType {
    name = "loose";
    merge = loc: definitions:
      let values = map (definition: definition.value) definitions; in
      if lib.all lib.isList values then lib.concatLists values
      else if lib.all (value: lib.isAttrs value && !lib.isDerivation value && !value ? _type) values then
        (lib.types.attrsOf loose).merge loc definitions
      else lib.last values;
  };

  any = default: lib.mkOption { type = loose; inherit default; };

  nixos = {
    options = lib.genAttrs [
      "boot" "documentation" "environment" "fileSystems" "fonts" "hardware" "i18n" "nix" "nixpkgs" "powerManagement"
      "programs" "qt" "security" "swapDevices" "system" "systemd" "users" "virtualisation" "xdg"
    ] (_: any { }) // {
      # A set of its own, because modules declare options in it.
      services = lib.genAttrs [ "getty" "logrotate" "openssh" "resolved" "udev" "udisks2" "userborn" ] (_: any { });
      assertions = any [ ];
      warnings = any [ ];
      networking = {
        hostName = lib.mkOption { type = lib.types.str; default = "nixos"; };
        hostId = any null;
        useDHCP = any null;
        useNetworkd = any null;
        interfaces = any { };
        firewall = any { };
        networkmanager = any { };
        dhcpcd = any { };
      };
    };
    config = {
      _module.check = false;
      # An image with the guest's Nix store would be built.
      microvm.storeDisk = lib.mkForce "/run/stand-in/store";
      boot.kernelPackages.kernel = pkgs.kernel;
      boot.kernelParams = [ "loglevel=4" ];
      boot.initrd.systemd.enable = true;
      boot.loader = { };
      boot.binfmt = { };
      nix.enable = true;
      nix.package = pkgs.nix;
      nix.optimise.automatic = false;
      nix.settings.auto-optimise-store = false;
      security.virtualisation.flushL1DataCache = null;
      services.openssh.enable = false;
      services.openssh.hostKeys = [ ];
      services.userborn.enable = lib.mkDefault false;
      swapDevices = [ ];
      systemd.package = "/run/stand-in/systemd";
      system.boot.loader.initrdFile = "initrd";
      system.build.initialRamdisk = "/run/stand-in";
      system.build.toplevel = "/run/stand-in/toplevel";
      system.switch.enable = false;
      users.users = { };
      virtualisation.libvirtd.enable = false;
    };
  };
in
lib.evalModules {
  modules = [ nixos ] ++ modules ++ extraModules;
  specialArgs = { inherit pkgs; utils = { }; modulesPath = "/run/stand-in/modules"; } // specialArgs;
}
