# SPDX-License-Identifier: Apache-2.0
# Configurations of hosts: modules, and for `machines` what differs from a machine with vmcred's own store.
{ lib, source }:
let
  # The options of sops-nix that vmcred's module reads.
  sops = secrets: {
    options.sops = {
      age.keyFile = lib.mkOption { type = lib.types.str; default = "/var/lib/sops-nix/key.txt"; };
      secrets = lib.mkOption { type = lib.types.unspecified; default = secrets; };
    };
  };

  withSecrets = microvm: { config, lib, ... }:
    let inherit (config.clan.core.vars.generators.test-vm-secrets) files; in
    {
      # What clan derives for each declared file.
      options.clan = lib.mkOption { type = lib.types.unspecified; };
      config.clan.core.vars.generators.test-vm-secrets.files = lib.genAttrs [ "api-key" "db-password" "jwt-secret" ] (name: {
        path = "/run/secrets/vars/test-vm-secrets/${name}";
      });

      config.microvm.vms.test-vm.config.microvm = microvm // {
        credentialFiles = {
          HOST-API-KEY = files.api-key.path;
          HOST-DB-PASSWORD = files.db-password.path;
          HOST-JWT-SECRET = files.jwt-secret.path;
        };
      };
    };

  # What a host reads of a VM.
  elsewhere = {
    microvm = {
      shares = [ ];
      declaredRunner = { outPath = "/run/stand-in/runner"; supportsNotifySocket = false; registerWithMachined = false; };
    };
    system.build.toplevel = "/run/stand-in/toplevel";
  };
in
{
  # VMs of microvm.nix.
  hosts = {
    # Three secrets of a clan, in a VM that has static strings too.
    seed = withSecrets {
      hypervisor = "cloud-hypervisor";
      mem = 256;
      cloud-hypervisor.platformOEMStrings = [ "ENVIRONMENT=test" "CLUSTER=example-host" ];
    };

    # The same for the guest of examples/test-vm, on a host with vmcred's store.
    emulated = {
      imports = [
        (withSecrets {
          hypervisor = "qemu";
          cpu = "max";
          mem = 256;
          kernelParams = lib.mkForce [ "quiet" "loglevel=3" "panic=-1" "random.trust_cpu=on" ];
          qemu.machine = "q35";
          qemu.extraArgs = [ "-smbios" "type=11,value=ENVIRONMENT=test" "-smbios" "type=11,value=CLUSTER=example-host" ];
        })
      ];
      services.vmcred = { enable = true; machine = "example-host"; };
    };

    mixed = {
      microvm.vms = {
        secrets.config.microvm = { hypervisor = "qemu"; credentialFiles.KEY = "/run/secrets/100%"; };
        none.config.microvm.hypervisor = "qemu";
        off.config = { microvm = { hypervisor = "qemu"; credentialFiles.KEY = "/run/secrets/k"; }; vmcred.guest.enable = false; };
        # From another configuration, with and without the module.
        evaluated.evaluatedConfig.config = elsewhere // {
          vmcred.guest = { enable = true; credentialFiles.OTHER = "/run/secrets/other"; };
        };
        foreign.evaluatedConfig.config = elsewhere;
      };
      # Created with `microvm -c`.
      vmcred.host.credentialFiles.imperative.KEY = "/run/secrets/imperative";
    };
  };

  machines = lib.mapAttrs (_: module: { imports = [ module { services.vmcred.enable = true; networking.hostName = "host1"; } ]; }) {
    plain = { services.vmcred = { inherit source; }; };
    unmanaged = { };
    other = { services.vmcred = { machine = "other"; identityFile = "/etc/key"; activate = false; serve = true; }; };
    sealed = { services.vmcred = { inherit source; sealedIdentity = "/var/lib/vmcred/identity.cred"; serve = true; }; };
    users-by-script = { services.vmcred = { inherit source; neededForUsers = true; }; };
    users-by-units = { services.vmcred = { inherit source; neededForUsers = true; }; services.userborn.enable = true; };
    # sops-nix for another purpose, or clan, which sets its key.
    sops-key = { imports = [ (sops { }) ]; services.vmcred = { inherit source; }; };

    clash = { imports = [ (sops { a.neededForUsers = false; }) ]; services.vmcred = { inherit source; }; };
    clash-users = {
      imports = [ (sops { a.neededForUsers = true; }) ];
      services.vmcred = { inherit source; activate = false; neededForUsers = true; };
    };
    public-identity = { services.vmcred = { inherit source; identityFile = "${builtins.toFile "identity" ""}"; }; };
    sealed-users = { services.vmcred = { inherit source; neededForUsers = true; sealedIdentity = "/var/lib/identity.cred"; }; };
  };
}
