# SPDX-License-Identifier: Apache-2.0
# NixOS module for a machine whose secrets are in vmcred's own store (vmcred-store(1), vmcred-activate(1)):
#
#     services.vmcred.enable = true;
#     services.vmcred.source = ./secrets; # a directory with vmcred.yaml, vars/ and sops/
#
# It installs the units of the Debian package, without microvm@.service. The documents are encrypted, so the Nix store may
# have them; the identity is in a file of root's, or sealed to the TPM.
{ vmcred ? pkgs: pkgs.callPackage ./package.nix { } }:
{
  _file = ./module.nix;
  key = "vmcred/nix/module.nix";

  imports = [
    ({ config, lib, options, pkgs, ... }:
      let
        cfg = config.services.vmcred;
        isSealed = cfg.sealedIdentity != null;

        # Otherwise an activation script creates the users, before systemd starts.
        unitsCreateUsers = config.systemd.sysusers.enable or false || config.services.userborn.enable or false;

        sopsKeyFile = if options ? sops then config.sops.age.keyFile else null;
        sopsSecrets = if options ? sops then config.sops.secrets else { };

        # The packaged unit loads the default identity.
        identity =
          if isSealed then {
            LoadCredential = [ "" ];
            LoadCredentialEncrypted = [ "identity:${cfg.sealedIdentity}" ];
          } else {
            LoadCredential = [ "" "identity:${cfg.identityFile}" ];
          };

        environment = {
          VMCRED_MACHINE = cfg.machine;
          SOPS_AGE_KEY_FILE = if isSealed then "%d/identity" else cfg.identityFile;
        };

        activation = phase: {
          inherit environment;
          # A restart activates again. Units of VMs want this one, so they continue to run, unless their secrets changed.
          restartTriggers = lib.optional (cfg.source != null) cfg.source;
          serviceConfig = identity // {
            ExecStartPost = "+${lib.getExe cfg.package} activate --restart-pending --needed-for ${phase}";
          } // lib.optionalAttrs isSealed {
            # systemd decrypts a credential for a start, not for a reload.
            ExecReload = [ "" ];
          };
        };
      in
      {
        options.services.vmcred = {
          enable = lib.mkEnableOption "secrets from vmcred's own store";

          package = lib.mkOption {
            type = lib.types.package;
            default = vmcred pkgs;
            defaultText = lib.literalMD "vmcred of this flake";
            description = "The package of vmcred.";
          };

          source = lib.mkOption {
            type = lib.types.nullOr lib.types.path;
            default = null;
            example = lib.literalExpression "./secrets";
            description = ''
              The directory with {file}`vmcred.yaml`, {file}`vars` and {file}`sops`, which becomes {file}`/etc/vmcred`.
              If it is null, {file}`/etc/vmcred` is not managed by NixOS.
            '';
          };

          machine = lib.mkOption {
            type = lib.types.str;
            default = config.networking.hostName;
            defaultText = lib.literalExpression "config.networking.hostName";
            description = "The name of this machine in the declaration.";
          };

          identityFile = lib.mkOption {
            type = lib.types.str;
            default = if sopsKeyFile != null then sopsKeyFile else "/var/lib/vmcred/identity";
            defaultText = lib.literalMD "{option}`sops.age.keyFile` if it is set, or {file}`/var/lib/vmcred/identity`";
            description = "The machine's age identity, a file that only root can read. It must not be in the Nix store.";
          };

          sealedIdentity = lib.mkOption {
            type = lib.types.nullOr lib.types.str;
            default = null;
            example = "/var/lib/vmcred/identity.cred";
            description = ''
              The machine's age identity as `systemd-creds encrypt --name=identity` writes it, for example sealed to the TPM.
              It replaces {option}`services.vmcred.identityFile`.
            '';
          };

          activate = lib.mkOption {
            type = lib.types.bool;
            default = true;
            description = "Whether to decrypt the machine's secrets to {file}`/run/secrets` at boot.";
          };

          neededForUsers = lib.mkOption {
            type = lib.types.bool;
            default = false;
            description = ''
              Whether to decrypt the secrets with `neededFor: users` to {file}`/run/secrets-for-users` before users are created.
            '';
          };

          serve = lib.mkOption {
            type = lib.types.bool;
            default = false;
            description = "Whether to answer units with `LoadCredential=NAME:/run/vmcred/socket` from the store, without files.";
          };
        };

        config = lib.mkIf cfg.enable {
          assertions = [
            {
              assertion = !(cfg.activate && lib.any (secret: !secret.neededForUsers) (lib.attrValues sopsSecrets));
              message = ''
                services.vmcred and sops-nix would both install /run/secrets. Set services.vmcred.activate = false and
                services.vmcred.serve = true, or install all secrets with sops-nix.
              '';
            }
            {
              assertion = !(cfg.neededForUsers && lib.any (secret: secret.neededForUsers) (lib.attrValues sopsSecrets));
              message = ''
                services.vmcred.neededForUsers and sops-nix would both install /run/secrets-for-users. Set
                services.vmcred.neededForUsers = false, or remove neededForUsers from the secrets of sops-nix.
              '';
            }
            {
              assertion = !lib.hasPrefix builtins.storeDir cfg.identityFile;
              message = ''
                services.vmcred.identityFile is in the Nix store, which all users can read. Write a path outside of it in
                quotes, such as "/var/lib/vmcred/identity".
              '';
            }
            {
              assertion = isSealed && cfg.neededForUsers -> unitsCreateUsers;
              message = ''
                services.vmcred.sealedIdentity needs systemd, which creates no users here. Set services.userborn.enable = true
                or systemd.sysusers.enable = true, or use services.vmcred.identityFile.
              '';
            }
          ];

          environment.systemPackages = [ cfg.package ];
          environment.etc = lib.mkIf (cfg.source != null) { vmcred.source = cfg.source; };

          # Also has the generator that writes the drop-ins of the VMs' units.
          systemd.packages = [ cfg.package ];
          systemd.tmpfiles.rules = [ "d /var/lib/vmcred 0700 root root -" ];

          systemd.services = {
            vmcred-activate = lib.mkIf cfg.activate (activation "services" // { wantedBy = [ "multi-user.target" ]; });
            vmcred-activate-users = lib.mkIf (cfg.neededForUsers && unitsCreateUsers) (
              activation "users" // { wantedBy = [ "sysinit.target" ]; }
            );
            vmcred = lib.mkIf cfg.serve {
              inherit environment;
              serviceConfig = lib.mkIf isSealed { inherit (identity) LoadCredentialEncrypted; };
            };
            # Its script needs the default PATH, which a packaged unit does not have.
            vmcred-units.path = [ pkgs.coreutils ];
          };

          systemd.sockets = lib.mkIf cfg.serve {
            vmcred.wantedBy = [ "sockets.target" ];
            vmcred-channel.wantedBy = [ "sockets.target" ];
            vmcred-vsock.wantedBy = [ "sockets.target" ];
          };

          system.activationScripts = lib.mkIf (cfg.neededForUsers && !unitsCreateUsers) {
            vmcred-users = lib.stringAfter [ "specialfs" ] ''
              ${lib.getExe cfg.package} activate --needed-for users --machine ${lib.escapeShellArg cfg.machine} \
                --identity ${lib.escapeShellArg cfg.identityFile} \
                --config ${if cfg.source != null then cfg.source else "/etc/vmcred"}/vmcred.yaml
            '';
            users.deps = [ "vmcred-users" ];
          };
        };
      })
  ];
}
