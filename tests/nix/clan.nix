# SPDX-License-Identifier: Apache-2.0
# Machines of a clan, and what nix/clan-vars.nix makes of them. `clanCore` is a directory with clan-core, whose modules
# evaluate the generators then; otherwise a stand-in does.
{ lib, pkgs, clanVars, clanCore }:
let
  inherit (lib) mkOption types;

  any = default: mkOption { type = types.anything; inherit default; };

  standIn.options = {
    settings.secretStore = any "sops";
    generators = mkOption {
      default = { };
      type = types.attrsOf (types.submodule {
        options = {
          pkgs = any pkgs;
          share = any false;
          dependencies = any [ ];
          validation = any null;
          runtimeInputs = any [ ];
          script = any "";
          prompts = mkOption {
            default = { };
            type = types.attrsOf (types.submodule ({ name, ... }: {
              options = { type = any "line"; description = any name; persist = any false; };
            }));
          };
          files = mkOption {
            default = { };
            type = types.attrsOf (types.submodule ({ name, ... }: {
              options = {
                path = any "/run/secrets/${name}";
                secret = any true;
                deploy = any true;
                owner = any "root";
                group = any "root";
                mode = any "0400";
                neededFor = any "services";
                restartUnits = any [ ];
              };
            }));
          };
        };
      });
    };
  };

  original = name: {
    imports = [ (clanCore + "/nixosModules/clanCore/vars/interface.nix") ];
    inherit pkgs;
    machineName = name;
    # Otherwise the module of sops-nix has the paths.
    settings.fileModule = file: { path = "/run/secrets/${file.config.name}"; };
  };

  # clan's own services: with the real modules only.
  service = path: role: settings: instance: ((import (clanCore + "/clanServices/${path}") { inherit lib; }).roles.${role}.perInstance ({
    inherit settings;
    extendSettings = module: settings;
    roles = { };
    mkExports = _: { };
    meta.domain = "example";
  } // instance)).nixosModule;
  services = name: lib.optionals (clanCore != null) [
    (service "sshd/default.nix" "server" {
      authorizedKeys = { };
      generateRootKey = true;
      certificate = { enable = true; searchDomains = [ "${name}.example" ]; };
      hostKeys.rsa.enable = false;
    } { })
    (service "users/default.nix" "default" {
      user = "ada";
      systemUser = true;
      groups = [ ];
      prompt = false;
      share = name != "m1";
      openssh.authorizedKeys = { };
    } { instanceName = "ada"; })
  ];

  # The options of clan that a machine has.
  options = name: {
    options.clan.core = {
      vars = mkOption { default = { }; type = types.submodule (if clanCore == null then standIn else original name); };
      settings = any { machine.name = name; domain = "clan.example"; directory = ./.; };
      sops.defaultGroups = any [ ];
    };
  };

  machine = name: module: lib.evalModules {
    modules = [
      (options name)
      {
        # The services set options of NixOS.
        config._module.check = false;
        options.services.userborn.enable = any false;
      }
      module
    ] ++ services name;
    specialArgs.pkgs = pkgs // lib.genAttrs [ "mkpasswd" "xkcdpass" ] (name: pkgs.writeText name "");
  };

  # An authority signs the key of each machine, whose name is in the script, as in clan's own services. ssh-keygen writes
  # where the key is, among the inputs.
  signed = name: {
    authority = {
      share = true;
      files.key = { deploy = false; };
      files."key.pub".secret = false;
      runtimeInputs = [ pkgs.openssh ];
      script = ''ssh-keygen -q -t ed25519 -N "" -C "" -f "$out/key"'';
    };
    host = {
      files.key = { };
      files."key.pub".secret = false;
      runtimeInputs = [ pkgs.openssh ];
      script = ''ssh-keygen -q -t ed25519 -N "" -C "" -f "$out/key"'';
    };
    host-certificate = {
      dependencies = [ "host" "authority" ];
      files."key-cert.pub".secret = false;
      validation.name = name;
      runtimeInputs = [ pkgs.openssh ];
      script = ''
        ssh-keygen -q -s "$in/authority/key" -I ${name} -h -n ${name}.example "$in/host/key.pub"
        mv "$in/host/key-cert.pub" "$out/key-cert.pub"
      '';
    };
    token = {
      share = true;
      files.it = { mode = "0440"; restartUnits = [ "${name}.service" ]; };
      script = ''printf token > "$out/it"'';
    };
    # The same on all machines.
    answer = {
      prompts.it = { type = "hidden"; description = "The answer"; persist = true; };
    };
    # Shared by two of the three.
    wifi = {
      share = name != "m1";
      files.it = { };
      script = ''printf ${if name == "m1" then "wired" else "wifi"} > "$out/it"'';
    };
  };

  clan = extra: lib.genAttrs [ "m1" "m2" "m3" ] (name: machine name {
    clan.core.vars = { generators = signed name; } // extra name;
  });

  declaration = extra: clanVars { inherit lib; machines = clan extra; };
in
{
  inherit options;

  # Its text, without references to what must be built.
  declaration = builtins.unsafeDiscardStringContext (declaration (_: { }));

  # What clan itself reads.
  generators = lib.mapAttrs (_: { config, ... }: lib.mapAttrs (_: generator: {
    inherit (generator) share dependencies script;
    validationHash = generator.validationHash or null;
    inherit (generator) prompts;
    files = lib.mapAttrs (_: lib.getAttrs [ "secret" "deploy" "owner" "group" "mode" "neededFor" ]) generator.files;
  }) config.clan.core.vars.generators) (clan (_: { }));

  otherMachine = clanVars { inherit lib; machines.m4.config = { }; };
  otherStore = declaration (name: lib.optionalAttrs (name == "m2") { settings.secretStore = "age"; });
  otherOwner = declaration (name: {
    generators = signed name // {
      token = (signed name).token // { files.it.owner = name; };
    };
  });
}
