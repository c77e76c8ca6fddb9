# SPDX-License-Identifier: Apache-2.0
# Virtual machines as users of microvm.nix declare them: what differs from a VM with one secret, API_KEY.
{ lib }:
let
  vm = hypervisor: microvm: { system = "x86_64-linux"; microvm = { inherit hypervisor; } // microvm; };
  ch = vm "cloud-hypervisor";
  firecracker = vm "firecracker" { };
  qemu = vm "qemu";
  # SMBIOS instead of fw_cfg.
  q35 = microvm: qemu (lib.recursiveUpdate { qemu.machine = "q35"; } microvm);
  arm = config: config // { system = "aarch64-linux"; };
  # What a module of its own adds.
  with' = module: config: config // { inherit module; };

  volume = name: extra: { image = "${name}.img"; mountPoint = "/${name}"; size = 8; autoCreate = false; } // extra;
  interface = type: number: { inherit type; id = "vm-${number}"; mac = "02:00:00:00:00:0${number}"; };
  tap = interface "tap";
  user = interface "user" "1";
  macvtap = interface "macvtap" "1" // { macvtap = { link = "eth0"; mode = "bridge"; }; };
  store = { proto = "virtiofs"; tag = "ro-store"; source = "/nix/store"; mountPoint = "/nix/.ro-store"; };
  home = { proto = "virtiofs"; tag = "home"; source = "/home"; mountPoint = "/home"; };
in
{
  works = {
    ch-minimal = ch { };
    ch-no-socket = ch { socket = null; };
    ch-no-process-name = ch { prettyProcnames = false; };
    ch-volumes = ch {
      vcpu = 4;
      volumes = [
        (volume "var" { serial = "data"; direct = true; })
        (volume "ro" { readOnly = true; })
        (volume "q" { imageType = "qcow2"; })
      ];
    };
    ch-shares = ch { shares = [ store home ]; };
    ch-tap = ch { interfaces = [ (tap "1") ]; };
    ch-taps = ch { interfaces = [ (tap "1") (tap "2") ]; };
    ch-tap-queues = ch { vcpu = 4; interfaces = [ (tap "1") ]; };
    ch-macvtap = ch { interfaces = [ macvtap ]; };
    ch-vsock = ch { vsock.cid = 42; };
    ch-oem-strings = ch { cloud-hypervisor.platformOEMStrings = [ "ENVIRONMENT=prod" "io.systemd.credential:PUBLIC=abc" ]; };
    ch-vsock-and-oem-strings = ch { vsock.cid = 42; cloud-hypervisor.platformOEMStrings = [ "ENVIRONMENT=prod" ]; };
    ch-pci = ch { devices = [ { bus = "pci"; path = "0000:01:00.0"; } { bus = "pci"; path = "0000:01:00.1"; } ]; };
    ch-memory = ch { mem = 1024; hotplugMem = 1024; hugepageMem = true; };
    ch-balloon = ch { balloon = true; initialBalloonMem = 256; };
    ch-kernel-parameters = ch { kernelParams = [ "quiet" "a=b,c" ]; };
    ch-cpus = ch {
      vcpu = 2;
      cloud-hypervisor.extraArgs = [ "--cpus" "max=8,topology=1:2:1:1,affinity=[0@[0-1],1@[2,3]]" ];
    };
    ch-platform = ch {
      cloud-hypervisor.extraArgs = [
        "--platform" "num_pci_segments=2,iommu_segments=[1],serial_number=abc,uuid=a67472e5-570e-5c8a-b18c-ae3c77701050"
      ];
    };
    ch-devices = ch {
      cloud-hypervisor.extraArgs = [
        "--rng" "src=/dev/urandom,iommu=on" "--pvpanic" "--tpm" "socket=/run/swtpm.sock" "--landlock" "--landlock-rules"
        "path=/dev,access=rw"
      ];
    };
    ch-serial = ch {
      cloud-hypervisor.extraArgs = [ "--serial" "file=/run/example/serial" "--log-file" "/run/example/ch.log" ];
    };
    ch-serial-socket = ch {
      cloud-hypervisor.extraArgs = [ "--serial" "socket=/run/example/serial" "--debug-console" "file=/run/example/x,iobase=0xe9" ];
    };
    ch-arguments-at-start = ch { extraArgsScript = "/bin/echo --rng src=/dev/random"; };
    ch-three-secrets = ch {
      credentialFiles = { DB_PASSWORD = "/run/secrets/db"; "tls.key" = "/run/secrets/tls.key"; };
    };

    ch-settings = with' { vmcred.guest.settings.stopTimeout = 5; } (ch { });

    alioth-minimal = vm "alioth" { };
    crosvm-minimal = vm "crosvm" { };
    kvmtool-minimal = vm "kvmtool" { };
    stratovirt-minimal = vm "stratovirt" { };
    firecracker-minimal = firecracker;
    firecracker-three-secrets = vm "firecracker" {
      credentialFiles = { DB_PASSWORD = "/run/secrets/db"; "tls.key" = "/run/secrets/tls.key"; };
    };

    qemu-minimal = qemu { };
    qemu-user = qemu { interfaces = [ user ]; };
    qemu-shares = qemu { shares = [ (home // { proto = "9p"; securityModel = "mapped"; }) ]; };
    qemu-volumes = qemu { volumes = [ (volume "var" { serial = "data"; direct = true; }) (volume "ro" { readOnly = true; }) ]; };
    qemu-no-process-name = qemu { prettyProcnames = false; };
    qemu-vsock = qemu { vsock.cid = 42; };
    qemu-emulated = arm (qemu { cpu = "cortex-a53"; });
    qemu-aarch64 = arm (qemu { interfaces = [ user ]; });
    q35-minimal = with' { vmcred.guest.services.web.credentials = { key = "API_KEY"; other = "OTHER"; }; } (q35 { });
    q35-machine-id = q35 { machineId = "a67472e5-570e-5c8a-b18c-ae3c77701050"; };
    q35-graphics = q35 { graphics.enable = true; };
    q35-extra = q35 { mem = 1024; qemu.extraArgs = [ "-smbios" "type=11,value=ENVIRONMENT=prod" "-rtc" "base=utc" ]; };
    q35-three-secrets = q35 {
      credentialFiles = { DB_PASSWORD = "/run/secrets/db"; "tls.key" = "/run/secrets/tls.key"; };
    };
  };

  # What the error must name.
  refused = {
    ch-channel-without-vsock = with' { vmcred.guest.services.web.channelCredentials = [ "api-key" ]; } (ch { }) // {
      mentions = [ "channelCredentials" "microvm.vsock.cid" ];
    };
    vfkit = vm "vfkit" { } // { mentions = [ "vfkit" "qemu" "credentialFiles" ]; };
    ch-graphics = ch { graphics.enable = true; } // { mentions = [ "graphics" "vmConfig.gpu" "credentialFiles" ]; };
    firecracker-script = with' { boot.initrd.systemd.enable = lib.mkForce false; } firecracker // {
      mentions = [ "firecracker" "boot.initrd.systemd.enable = true" "credentialFiles" ];
    };
  };

  # What the runner tests do not start: a VM whose credentials the host declares, a vmcred for aarch64, a GPU.
  others = {
    ch-aarch64 = arm (ch { });
    ch-declared-graphics = with' { vmcred.guest.settings.vmConfig.gpu = [ { socket = "gpu.sock"; } ]; }
      (ch { graphics.enable = true; });
    channel-ch = with' {
      vmcred.guest = {
        services.web = { credentials.key = "KEY"; channelCredentials = [ "api-key" "tls.key" ]; };
        settings.requireDelivery = true;
      };
    }
      (ch { credentialFiles = lib.mkForce { }; vsock.cid = 42; });
    own-q35 = with' { vmcred.guest.enable = true; } (q35 { credentialFiles = lib.mkForce { }; });
  };

  # Without secrets, or with vmcred switched off, nothing changes.
  unchanged = {
    plain-ch = ch { credentialFiles = lib.mkForce { }; };
    plain-qemu = qemu { credentialFiles = lib.mkForce { }; };
    plain-firecracker = vm "firecracker" { credentialFiles = lib.mkForce { }; };
    off-qemu = with' { vmcred.guest.enable = false; } (qemu { });
  };
}
