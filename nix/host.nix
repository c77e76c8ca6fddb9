# SPDX-License-Identifier: Apache-2.0
# NixOS module for a host of microvm.nix: imports guest.nix into each declarative VM, and makes the unit microvm@VM.service
# load the files of the VM's microvm.credentialFiles. It needs no other setting. module.nix, which it imports, has the
# options of those who use vmcred's own store.
#
# A VM that `microvm -c` created is not part of the host's configuration, and /var/lib/microvms belongs to the user that
# runs the hypervisors. What is in there must not decide which files the host's root reads: the host declares them in
# vmcred.host.credentialFiles.
{ vmcred ? pkgs: pkgs.callPackage ./package.nix { } }:
{
  _file = ./host.nix;
  key = "vmcred/nix/host.nix";

  imports = [
    (import ./module.nix { inherit vmcred; })
    ({ config, lib, ... }:
      let
        # Where the module of microvm.nix finds it.
        guestConfig = name: vm:
          if vm.flake != null then
            vm.flake.nixosConfigurations.${name}.config
          else if vm.evaluatedConfig != null then
            vm.evaluatedConfig.config
          else
            vm.config.config;

        # A VM of another flake may not import guest.nix. microvm.nix then passes its credentials itself, or refuses to.
        declared = name: vm:
          let guest = (guestConfig name vm).vmcred.guest or { enable = false; }; in
          lib.optionalAttrs guest.enable guest.credentialFiles;

        loading = lib.filterAttrs (_: files: files != { }) config.vmcred.host.credentialFiles;

        escape = lib.replaceStrings [ "%" ] [ "%%" ];

        # Files in /run/secrets may come from vmcred's own store.
        activation = lib.optional (store.enable && store.activate) "vmcred-activate.service";
        store = config.services.vmcred;
      in
      {
        options = {
          microvm.vms = lib.mkOption {
            type = lib.types.attrsOf (lib.types.submodule {
              config.extraModules = [ (import ./guest.nix { inherit vmcred; }) ];
            });
          };

          vmcred.host.credentialFiles = lib.mkOption {
            type = lib.types.attrsOf (lib.types.attrsOf lib.types.path);
            default = { };
            example = { my-vm.API_KEY = "/run/secrets/api-key"; };
            description = ''
              Files that the units of VMs load as credentials, by VM. The {option}`microvm.credentialFiles` of declarative VMs
              are in it; add those of VMs that are created with `microvm -c`.
            '';
          };
        };

        config = {
          vmcred.host.credentialFiles = lib.mapAttrs declared config.microvm.vms;

          environment = lib.mkIf (loading != { }) {
            systemPackages = [ store.package ];
            # For `vmcred status` and `vmcred inspect`.
            etc = lib.mkIf (!store.enable) {
              "vmcred/vmcred.yaml".text = builtins.toJSON {
                vms = lib.mapAttrs (_: files: {
                  loadCredentials = files;
                  credentialFiles = lib.mapAttrs (credential: _: credential) files;
                }) loading;
              };
            };
          };

          systemd.services = lib.mapAttrs' (name: files: lib.nameValuePair "microvm@${name}" {
            overrideStrategy = "asDropin";
            # A drop-in with the default PATH would replace the one of the template.
            path = lib.mkForce [ ];
            wants = activation;
            after = activation;
            serviceConfig = {
              LoadCredential = lib.mapAttrsToList (credential: file: "${credential}:${escape file}") files;
              # The hypervisor's memory contains the guest's memory. With a limit of 0, a program in core_pattern
              # would get it all the same.
              LimitCORE = 1;
              MemorySwapMax = 0;
            };
          }) loading;
        };
      })
  ];
}
