# A hypervisor package whose programs vmcred-run starts, with the credentials of the VM (vmcred-run(1), "CALLED BY A
# HYPERVISOR'S NAME"). With microvm.nix, in a VM's configuration:
#
#   microvm.cloud-hypervisor.package = pkgs.callPackage ./nix/hypervisor.nix {
#     vmcred = pkgs.callPackage ./nix/package.nix { };
#     hypervisor = pkgs.cloud-hypervisor;
#     programs = [ "cloud-hypervisor" ];
#   };
#
# and likewise microvm.qemu.package, with pkgs.qemu_kvm and [ "qemu-system-x86_64" ]. The declaration is
# /etc/vmcred/vmcred.yaml: environment.etc."vmcred/vmcred.yaml".text = builtins.toJSON { vms = …; }.
#
# Not tested: the project is built on Debian, without Nix.
{ lib, symlinkJoin, makeBinaryWrapper, vmcred, hypervisor, programs }:

let
  # microvm.nix overrides QEMU's package and asks Cloud Hypervisor's for its version.
  wrap = real: symlinkJoin {
    name = "vmcred-${real.name}";
    paths = [ real ];
    nativeBuildInputs = [ makeBinaryWrapper ];
    # The name of the executed file selects the hypervisor; argv[0] remains the caller's.
    postBuild = lib.concatMapStrings (program: ''
      rm $out/bin/${program}
      mkdir -p $out/libexec/vmcred
      ln -s ${vmcred}/bin/vmcred-run $out/libexec/vmcred/${program}
      makeWrapper $out/libexec/vmcred/${program} $out/bin/${program} --inherit-argv0 \
        --set-default VMCRED_HYPERVISOR ${real}/bin/${program}
    '') programs;
    meta = real.meta or { };
  } // {
    inherit (real) version;
    override = change: wrap (real.override change);
    overrideAttrs = change: wrap (real.overrideAttrs change);
  };
in
wrap hypervisor
