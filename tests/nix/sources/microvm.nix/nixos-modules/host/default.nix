# SPDX-License-Identifier: Apache-2.0
# Stands in for the host module of microvm.nix: the options and units that vmcred's module adds to.
{ config, lib, pkgs, ... }:
let
  state = "/var/lib/microvms";
in
{
  options.microvm.vms = lib.mkOption {
    default = { };
    type = lib.types.attrsOf (lib.types.submodule ({ config, name, ... }: {
      options = {
        flake = lib.mkOption { type = lib.types.nullOr lib.types.path; default = null; };
        evaluatedConfig = lib.mkOption { type = lib.types.nullOr lib.types.unspecified; default = null; };
        extraModules = lib.mkOption { type = lib.types.listOf lib.types.deferredModule; default = [ ]; };
        config = lib.mkOption {
          default = null;
          type = lib.types.nullOr (lib.mkOptionType {
            name = "Toplevel NixOS config";
            merge = _: definitions: import "${toString pkgs.path}/nixos/lib/eval-config.nix" {
              inherit pkgs;
              inherit (config) extraModules;
              modules = [ { networking.hostName = lib.mkDefault name; } ../microvm ]
                ++ map (definition: definition.value) definitions;
            };
          });
        };
      };
    }));
  };

  config.systemd.services = lib.mapAttrs' (name: _: lib.nameValuePair "microvm@${name}" {
    overrideStrategy = "asDropin";
    path = lib.mkForce [ ];
    serviceConfig.Type = "simple";
  }) config.microvm.vms // {
    "microvm@".serviceConfig = {
      WorkingDirectory = "${state}/%i";
      ExecStart = "${state}/%i/current/bin/microvm-run";
      User = "microvm";
      Group = "kvm";
    };
  };
}
