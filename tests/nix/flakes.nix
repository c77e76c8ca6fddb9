# SPDX-License-Identifier: Apache-2.0
# Evaluates the flakes and modules of docs/nixos.md in the directory `page`.
{ lib, nixos, nixpkgs, vmcred, sources, clan, page }:
let
  # The part of sops-nix's module that flakes set, where the original is missing.
  sopsStandIn = {
    options.sops = {
      defaultSopsFile = lib.mkOption { type = lib.types.path; };
      age.keyFile = lib.mkOption { type = lib.types.str; };
      secrets = lib.mkOption {
        type = lib.types.attrsOf (lib.types.submodule ({ name, ... }: {
          options = {
            path = lib.mkOption { type = lib.types.str; default = "/run/secrets/${name}"; };
            neededForUsers = lib.mkOption { type = lib.types.bool; default = false; };
            restartUnits = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
          };
        }));
      };
    };
  };
  sopsNix = sources + "/sops-nix/modules/sops";

  # clan-core's function, which needs all of nixpkgs.
  clanOf = { self, meta, machines }:
    let
      evaluated = lib.mapAttrs (name: module: nixos [ (clan.options name) module { networking.hostName = name; } ]) machines;
    in
    {
      config = {
        nixosConfigurations = evaluated;
        nixosModules = lib.mapAttrs (_: module: module) machines;
        clanInternals.machines.x86_64-linux = evaluated;
      };
    };

  inputs = {
    inherit nixpkgs vmcred;
    microvm.nixosModules.host = sources + "/microvm.nix/nixos-modules/host";
    sops-nix.nixosModules.sops = if builtins.pathExists sopsNix then sopsNix else sopsStandIn;
    clan-core.lib.clan = clanOf;
  };

  evaluate = directory:
    let
      flake = import (page + "/${directory}/flake.nix");
      outputs = flake.outputs (lib.getAttrs (lib.filter (name: name != "self") (lib.attrNames (lib.functionArgs flake.outputs))) inputs
        // { self = outputs; });
      host = outputs.nixosConfigurations.host1.config;
      vm = host.microvm.vms.web.config.config;
    in
    {
      inputs = lib.attrNames flake.inputs;
      unused = lib.filter (name: name != "self" && !flake.inputs ? ${name}) (lib.attrNames (lib.functionArgs flake.outputs));
      failed = map (assertion: assertion.message)
        (lib.filter (assertion: !assertion.assertion) (host.assertions ++ vm.assertions));
      loaded = host.systemd.services."microvm@web".serviceConfig.LoadCredential or [ ];
      service = vm.systemd.services.web.serviceConfig.LoadCredential;
      hypervisor = vm.microvm.${vm.microvm.hypervisor}.package.name;
      known = lib.attrNames (builtins.fromJSON (host.environment.etc."vmcred/vmcred.yaml".text or "{}")).vms or { };
      source = toString host.services.vmcred.source;
      declaration = builtins.fromJSON (builtins.unsafeDiscardStringContext (outputs.vmcredDeclaration or "null"));
    };
in
{
  flakes = lib.genAttrs [ "clan" "own" "sops-nix" ] evaluate;

  # The modules that belong to the flake with vmcred's own store.
  modules = let
    vm = nixos [
      (sources + "/microvm.nix/nixos-modules/microvm")
      vmcred.nixosModules.guest
      { microvm.hypervisor = "qemu"; networking.hostName = "web"; }
      (import (page + "/own/vm.nix"))
    ];
    host = nixos [ (import (page + "/own/host.nix")) ];
  in {
    sshd = vm.config.systemd.services.sshd.serviceConfig.LoadCredential;
    inherit (vm.config.services.openssh) hostKeys extraConfig;
    knownHosts = lib.mapAttrs (_: known: toString known.publicKeyFile) host.config.programs.ssh.knownHosts;
  };
}
