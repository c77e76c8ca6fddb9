# SPDX-License-Identifier: Apache-2.0
# A hypervisor's package whose programs vmcred-run starts with the VM's credentials (vmcred-run(1), "CALLED BY A
# HYPERVISOR'S NAME"). guest.nix uses it for microvm.nix; for other runner scripts:
#
#   pkgs.callPackage ./nix/hypervisor.nix {
#     inherit vmcred;
#     hypervisor = pkgs.cloud-hypervisor;
#     programs = [ "cloud-hypervisor" ];
#   }
#
# `environment` sets variables of vmcred-run, such as VMCRED_VM, where the caller does not set them.
{ lib, symlinkJoin, makeBinaryWrapper, vmcred, hypervisor, programs, environment ? { } }:

let
  wrap = real:
    let
      variables = program: environment // { VMCRED_HYPERVISOR = "${real}/bin/${program}"; };

      wrapped = symlinkJoin {
        name = "vmcred-${real.name}";
        paths = [ real ];
        nativeBuildInputs = [ makeBinaryWrapper ];
        # The name of the executed file selects the hypervisor; argv[0] remains the caller's.
        postBuild = lib.concatMapStrings (program: ''
          rm $out/bin/${program}
          mkdir -p $out/libexec/vmcred
          ln -s ${vmcred}/bin/vmcred-run $out/libexec/vmcred/${program}
          makeWrapper $out/libexec/vmcred/${program} $out/bin/${program} --inherit-argv0 ${
            lib.concatStringsSep " " (lib.mapAttrsToList (name: value:
              "--set-default ${name} ${lib.escapeShellArg value}"
            ) (variables program))
          }
        '') programs;
      };

      # The attributes that tell a derivation from others.
      identity = lib.genAttrs [ "type" "name" "outPath" "drvPath" "drvAttrs" "outputs" "outputName" "out" "all" ] (_: null);
    in
    # Everything else is the real package's: microvm.nix reads its version and configureFlags, and overrides it.
    removeAttrs real (real.outputs or [ ]) // lib.intersectAttrs identity wrapped // {
      override = change: wrap (real.override change);
      overrideAttrs = change: wrap (real.overrideAttrs change);
    };
in
wrap hypervisor
