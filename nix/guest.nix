# SPDX-License-Identifier: Apache-2.0
# NixOS module for a guest of microvm.nix. With it
#
#     microvm.hypervisor = "cloud-hypervisor";
#     microvm.credentialFiles.API_KEY = "/run/secrets/api-key";
#
# works on each hypervisor below, on an unchanged microvm.nix. The host's systemd loads the files for the VM's unit
# (host.nix), and vmcred, which the runner starts instead of the hypervisor, passes them on. So the runner gets neither a
# value nor a path, and the hypervisor's user needs no permission to read the files.
#
# The argument `vmcred` is a function from a package set to its vmcred.
{ vmcred ? pkgs: pkgs.callPackage ./package.nix { } }:
{
  _file = ./guest.nix;
  # Importing it twice, for example in a VM and through host.nix, is importing it once.
  key = "vmcred/nix/guest.nix";

  imports = [
    ({ config, lib, options, pkgs, ... }:
      let
        cfg = config.vmcred.guest;
        inherit (config.microvm) hypervisor vmHostPackages;
        inherit (config.networking) hostName;
        architecture = lib.head (lib.splitString "-" pkgs.stdenv.hostPlatform.system);

        # The hypervisors of microvm.nix that vmcred can start, each with the program that the runner calls.
        programs = {
          alioth = "alioth";
          cloud-hypervisor = "cloud-hypervisor";
          crosvm = "crosvm";
          firecracker = "firecracker";
          kvmtool = "lkvm";
          qemu = "qemu-system-${architecture}";
          stratovirt = "stratovirt";
        };

        # Those without SMBIOS and fw_cfg (vmcred-run(1), "TRANSPORTS").
        throughInitrd = hypervisor:
          lib.elem hypervisor [ "alioth" "crosvm" "firecracker" "kvmtool" "stratovirt" ]
          || hypervisor == "cloud-hypervisor" && architecture != "x86_64"
          || cfg.settings.transport or null == "initrd";

        # What prevents delivery by a hypervisor, with what to do about it.
        problems = hypervisor: map (message: "MicroVM ${hostName}: ${message}") (
          lib.optional (!programs ? ${hypervisor}) (
            "vmcred cannot pass credentials to ${hypervisor}: set microvm.hypervisor to one of "
            + "${lib.concatStringsSep ", " (lib.attrNames programs)}, or remove microvm.credentialFiles"
          )
          ++ lib.optional (throughInitrd hypervisor && !config.boot.initrd.systemd.enable) (
            "${hypervisor} passes credentials in the initrd, where systemd must take them over: "
            + "set boot.initrd.systemd.enable = true, or remove microvm.credentialFiles"
          )
          ++ lib.optional (hypervisor == "cloud-hypervisor" && config.microvm.graphics.enable && !cfg.settings ? vmConfig.gpu) (
            "vmcred does not know the option --gpu of cloud-hypervisor-graphics: set vmcred.guest.settings.vmConfig.gpu to "
            + "the API's member for ${config.microvm.graphics.socket}, or remove microvm.credentialFiles"
          )
          ++ lib.optional (usesChannel && config.microvm.vsock.cid == null) (
            "a service requests credentials over vsock: set microvm.vsock.cid, or remove its channelCredentials"
          )
        );

        delivers = config.microvm.guest.enable && cfg.enable;

        usesChannel = lib.any (service: service.channelCredentials != [ ]) (lib.attrValues cfg.services);

        # The names only. The runner refers to it, so that a VM of `microvm -c` does not need the host's configuration.
        declaration = vmHostPackages.writeText "vmcred-${hostName}.json" (builtins.toJSON {
          vms.${hostName} = cfg.settings // { credentialFiles = lib.mapAttrs (name: _: name) cfg.credentialFiles; };
        });

        wrap = program: package: vmHostPackages.callPackage ./hypervisor.nix {
          vmcred = cfg.package;
          hypervisor = package;
          programs = [ program ];
          # Without credentialFiles, vmcred finds the VM's entry in its unit, or in the host's declaration.
          environment = lib.optionalAttrs (cfg.credentialFiles != { }) {
            VMCRED_VM = hostName;
            VMCRED_CONFIG = "${declaration}";
          };
        };
      in
      {
        options = {
          # The runners of microvm.nix read these options: the package becomes one that starts vmcred, and the list of files
          # is empty, so that they neither pass nor refuse it.
          microvm = lib.mapAttrs (_: program: {
            package = lib.mkOption {
              apply = package: if delivers then wrap program package else package;
            };
          }) programs // {
            credentialFiles = lib.mkOption {
              apply = files: if delivers then { } else files;
            };
            # One for each hypervisor, also those that would start without the credentials.
            runner = lib.mkOption {
              apply = lib.mapAttrs (hypervisor: runner:
                if delivers && problems hypervisor != [ ] then throw (lib.head (problems hypervisor)) else runner
              );
            };
          };

          vmcred.guest = {
            enable = lib.mkOption {
              type = lib.types.bool;
              default = (cfg.credentialFiles != { } || usesChannel) && vmHostPackages.stdenv.hostPlatform.isLinux;
              defaultText = lib.literalMD "whether there are {option}`microvm.credentialFiles` or {option}`channelCredentials`";
              description = ''
                Whether vmcred starts the hypervisor and passes it the VM's credentials.

                Set it without {option}`microvm.credentialFiles` if the host declares the VM in vmcred.yaml.
              '';
            };

            package = lib.mkOption {
              type = lib.types.package;
              default = vmcred vmHostPackages;
              defaultText = lib.literalMD "vmcred, built for the host";
              description = "The package of vmcred that starts the hypervisor.";
            };

            credentialFiles = lib.mkOption {
              type = lib.types.attrsOf lib.types.path;
              readOnly = true;
              # What is declared, before the option's `apply`.
              default = with options.microvm.credentialFiles; type.merge loc definitionsWithLocations;
              defaultText = lib.literalMD "{option}`microvm.credentialFiles`";
              description = ''
                The declared {option}`microvm.credentialFiles`, for the host that loads them.
                {option}`microvm.credentialFiles` itself is empty if vmcred passes them.
              '';
            };

            settings = lib.mkOption {
              type = lib.types.attrsOf lib.types.anything;
              default = { };
              example = { stopTimeout = 30; };
              description = ''
                Keys of the VM in vmcred.yaml(5) that tell vmcred how to start it, such as `stopTimeout`, `transport` or
                `vmConfig`. They need {option}`microvm.credentialFiles`.
              '';
            };

            services = lib.mkOption {
              default = { };
              type = lib.types.attrsOf (lib.types.submodule {
                options.credentials = lib.mkOption {
                  type = lib.types.attrsOf lib.types.str;
                  default = { };
                  example = { api-key = "API_KEY"; };
                  description = ''
                    Credentials of the service: the name in its {env}`$CREDENTIALS_DIRECTORY`, and the name of the VM's
                    credential in {option}`microvm.credentialFiles`.
                  '';
                };
                options.channelCredentials = lib.mkOption {
                  type = lib.types.listOf lib.types.str;
                  default = [ ];
                  example = [ "api-key" ];
                  description = ''
                    Credentials that the service requests from the running host when it starts: names in the VM's
                    `channelCredentials` of vmcred.yaml(5). A new value restarts the service. The VM needs
                    {option}`microvm.vsock.cid`, and the host {option}`services.vmcred.serve`.
                  '';
                };
              });
              example = { my-service.credentials.api-key = "API_KEY"; };
              description = "Services of the guest that load credentials of the VM.";
            };
          };
        };

        config = lib.mkMerge [
          (lib.mkIf delivers {
            assertions = map (message: { assertion = false; inherit message; }) (problems hypervisor);

            # systemd in the initrd imports credentials if the kernel shows it SMBIOS strings, and fw_cfg with QEMU.
            boot.initrd.availableKernelModules = [ "dmi_sysfs" "qemu_fw_cfg" ];
          })
          (lib.mkIf (delivers && throughInitrd hypervisor) {
            # Before version 262, systemd does not take over what a hypervisor adds to the initrd.
            boot.initrd.systemd.services.vmcred-credentials = {
              description = "Pass the credentials of the initrd to the system";
              wantedBy = [ "initrd.target" ];
              before = [ "initrd.target" ];
              unitConfig.DefaultDependencies = false;
              unitConfig.ConditionPathExists = "/.extra/system_credentials";
              serviceConfig.Type = "oneshot";
              script = ''
                umask 077
                mkdir -p /run/credentials/@initrd
                for file in /.extra/system_credentials/*.cred; do
                  name=''${file##*/}
                  cp "$file" "/run/credentials/@initrd/''${name%.cred}"
                done
              '';
            };
          })
          (lib.mkIf usesChannel {
            systemd.packages = [ (vmcred pkgs).guest ];
            systemd.sockets.vmcred-guest.wantedBy = [ "sockets.target" ];
            systemd.services.vmcred-guest-watch = {
              wantedBy = [ "multi-user.target" ];
              # It calls systemctl, and a packaged unit has no default PATH.
              path = [ config.systemd.package ];
            };
            # The VM's unit waits for its report.
            systemd.services.vmcred-guest-verify = lib.mkIf (cfg.settings.requireDelivery or false) {
              wantedBy = [ "multi-user.target" ];
            };
          })
          {
            systemd.services = lib.mapAttrs (_: service: {
              serviceConfig.LoadCredential = lib.mapAttrsToList (name: source: "${name}:${source}") service.credentials
                ++ map (name: "${name}:/run/vmcred/socket") service.channelCredentials;
            }) cfg.services;
          }
        ];
      })
  ];
}
