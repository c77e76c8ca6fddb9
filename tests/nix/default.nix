# SPDX-License-Identifier: Apache-2.0
# What the tests evaluate and build: vmcred's modules with the modules of microvm.nix in `sources`, the original's or ours.
{ sources ? ./sources, hypervisors ? "/hypervisors", vmcredBuild ? "/vmcred", kernel ? "/kernel" }:
let
  lib = import (sources + "/nixpkgs.lib/lib");
  pkgsFor = system: import ./pkgs.nix { inherit sources hypervisors vmcredBuild kernel system; };
  configs = import ./configs.nix { inherit lib; };

  nixos = modules: import ./nixos/lib/eval-config.nix { pkgs = pkgsFor "x86_64-linux"; inherit modules; };

  flake = (import ../../flake.nix).outputs {
    self = flake // { inherit (flake) packages nixosModules; };
    nixpkgs = {
      lib = lib // { nixosSystem = { modules }: nixos modules; };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsFor;
    };
  };

  evaluate = name: { system, microvm, module ? { }, ... }:
    import ./nixos/lib/eval-config.nix {
      pkgs = pkgsFor system;
      modules = [
        (sources + "/microvm.nix/nixos-modules/microvm")
        flake.nixosModules.guest
        module
        { networking.hostName = name; inherit microvm; }
        { microvm.credentialFiles.API_KEY = "/run/secrets/api-key"; microvm.storeDisk = lib.mkForce "/run/stand-in/store"; }
      ];
    };

  links = paths: (pkgsFor "x86_64-linux").runCommand "links" { } ("mkdir $out\n" + lib.concatStrings (
    lib.mapAttrsToList (name: path: "ln -s ${path} $out/${name}\n") paths
  ));

  guests = lib.mapAttrs evaluate (configs.works // configs.refused // configs.unchanged);

  failed = config: map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) config.assertions);

  facts = name: { config, options, ... }: {
    inherit (config.microvm) hypervisor;
    inherit (config.vmcred.guest) enable credentialFiles;
    strings = config.microvm.cloud-hypervisor.platformOEMStrings
      ++ lib.optional (config.microvm.hypervisor == "cloud-hypervisor" && config.microvm.vsock.cid != null)
        "io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888";
    name = if config.microvm.prettyProcnames then "microvm@${name}" else null;
    failed = failed config;
    initrd = config.boot.initrd.availableKernelModules or [ ];
    remains = config.microvm.credentialFiles;
  };
in
{
  inherit flake;
  facts = lib.mapAttrs facts guests;
  mentions = lib.mapAttrs (_: config: config.mentions) configs.refused;
  names = lib.mapAttrs (_: lib.attrNames) configs;
  # A link to each runner.
  runners = links (lib.mapAttrs (_: guest: guest.config.microvm.declaredRunner)
    (removeAttrs guests (lib.attrNames configs.refused)));
}
