# SPDX-License-Identifier: Apache-2.0
# Stands in for the guest module of microvm.nix: options of the same names, and a runner script that calls the hypervisor in
# the same form. It refuses credentialFiles as the original does.
{ config, lib, pkgs, ... }:
let
  vm = config.microvm;
  inherit (config.networking) hostName;
  inherit (pkgs.stdenv.hostPlatform) system;

  option = type: default: lib.mkOption { inherit type default; };
  strings = lib.types.listOf lib.types.str;
  sets = option (lib.types.listOf lib.types.anything) [ ];

  # The values of an option in a list of arguments, and the other arguments.
  take = name: arguments:
    if arguments == [ ] then { values = [ ]; rest = [ ]; }
    else
      let
        isIt = lib.head arguments == name;
        after = take name (lib.tail (if isIt then lib.tail arguments else arguments));
      in
      if isIt then after // { values = [ (lib.elemAt arguments 1) ] ++ after.values; }
      else after // { rest = [ (lib.head arguments) ] ++ after.rest; };

  on = condition: if condition then "on" else "off";
  comma = lib.concatStringsSep ",";
  list = name: values: lib.optionals (values != [ ]) ([ name ] ++ values);
  # The first macvtap interface is descriptor 3.
  macvtap = "3";

  cloudHypervisor =
    let
      cpus = take "--cpus" vm.cloud-hypervisor.extraArgs;
      platform = take "--platform" cpus.rest;
      oem = vm.cloud-hypervisor.platformOEMStrings
        ++ lib.optional (vm.vsock.cid != null) "io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888";
      isShared = vm.shares != [ ];
    in
    if vm.credentialFiles != { } then throw "cloud-hypervisor does not support credentialFiles" else [
      "${vm.cloud-hypervisor.package}/bin/cloud-hypervisor"
      "--cpus" (comma ([ "boot=${toString vm.vcpu}" ] ++ cpus.values))
      "--watchdog"
      "--kernel" "${pkgs.kernel}/vmlinux"
      "--initramfs" config.microvm.initrdPath
      "--cmdline" "console=ttyS0 ${toString vm.kernelParams}"
      "--seccomp" "true"
      "--memory" (comma (
        [ "size=${toString vm.mem}M" ] ++ (if isShared then [ "shared=on" ] else [ "mergeable=on" "shared=off" ])
        ++ lib.optionals (vm.hotplugMem > 0) [ "hotplug_method=virtio-mem" "hotplug_size=${toString vm.hotplugMem}M" ]
        ++ lib.optional vm.hugepageMem "hugepages=on"
      ))
      "--platform" (comma (lib.optional (oem != [ ]) "oem_strings=[${comma oem}]" ++ platform.values))
      "--console" "null"
    ]
    ++ lib.optionals (!lib.elem "--serial" platform.rest) [ "--serial" "tty" ]
    ++ lib.optionals (vm.vsock.cid != null) [ "--vsock" "cid=${toString vm.vsock.cid},socket=notify.vsock" ]
    ++ lib.optionals vm.graphics.enable [ "--gpu" "socket=gpu.sock" ]
    ++ lib.optionals vm.balloon [ "--balloon" "size=${toString vm.initialBalloonMem}M,free_page_reporting=on" ]
    ++ list "--disk" (map (volume: comma ([
      "path=${volume.image}" "readonly=${on (volume.readOnly or false)}" "direct=${on (volume.direct or false)}"
      "image_type=${volume.imageType or "raw"}"
    ] ++ lib.optional (volume ? serial) "serial=${volume.serial}")) vm.volumes)
    ++ list "--fs" (map (share: "tag=${share.tag},socket=${share.tag}.sock") vm.shares)
    ++ lib.optionals (vm.socket != null) [ "--api-socket" vm.socket ]
    ++ list "--net" (map (interface: comma (
      [ (if interface.type == "tap" then "tap=${interface.id}" else "fd=[${macvtap}]") "mac=${interface.mac}" ]
      ++ lib.optional (vm.vcpu > 1) "num_queues=${toString (2 * vm.vcpu)}"
    )) vm.interfaces)
    ++ list "--device" (map (device: "path=/sys/bus/pci/devices/${device.path}") vm.devices)
    ++ platform.rest;

  qemu =
    let package = vm.qemu.package.override (_: { }); in
    [
      "${package}/bin/qemu-system-${lib.head (lib.splitString "-" system)}"
      "-name" hostName
      "-M" (comma ([ vm.qemu.machine "accel=kvm:tcg" ] ++ lib.optional (vm.qemu.machine == "microvm") "acpi=on"))
      "-m" "${toString vm.mem}M"
      "-smp" (toString vm.vcpu)
      "-nodefaults" "-no-user-config" "-no-reboot"
      "-kernel" "${pkgs.kernel}/bzImage"
      "-initrd" config.microvm.initrdPath
      "-chardev" "stdio,id=stdio,signal=off"
      "-serial" "chardev:stdio"
      "-append" "console=ttyS0 ${toString vm.kernelParams}"
    ]
    ++ lib.concatMap (name: [ "-fw_cfg" "name=opt/io.systemd.credentials/${name},file=${vm.credentialFiles.${name}}" ])
      (lib.attrNames vm.credentialFiles)
    ++ lib.optionals (vm.machineId != null) [ "-smbios" "type=1,uuid=${vm.machineId}" ]
    ++ (if vm.cpu == null then [ "-enable-kvm" "-cpu" "host" ] else [ "-cpu" vm.cpu ])
    ++ (if vm.graphics.enable then [ "-display" "egl-headless" ] else [ "-nographic" ])
    ++ lib.optionals (lib.elem "--enable-seccomp" package.configureFlags) [ "-sandbox" "on" ]
    ++ lib.optionals (vm.socket != null) [ "-qmp" "unix:${vm.socket},server,nowait" ]
    ++ lib.concatMap (volume: [ "-drive" "file=${volume.image},format=raw,read-only=${on (volume.readOnly or false)}" ])
      vm.volumes
    ++ lib.concatMap (share: [ "-fsdev" "local,id=${share.tag},path=${share.source},security_model=mapped" ]) vm.shares
    ++ lib.concatMap (interface: [
      "-netdev" "${interface.type},id=${interface.id}" "-device" "virtio-net-pci,netdev=${interface.id},mac=${interface.mac}"
    ]) vm.interfaces
    ++ lib.optionals (vm.vsock.cid != null) [ "-device" "vhost-vsock-pci,guest-cid=${toString vm.vsock.cid}" ]
    ++ vm.qemu.extraArgs;

  firecracker = if vm.credentialFiles != { } then throw "credentialFiles are not implemented for Firecracker" else [
    "${vm.firecracker.package}/bin/firecracker"
    "--config-file" "${pkgs.writeText "firecracker.json" (builtins.toJSON {
      boot-source = {
        kernel_image_path = "${pkgs.kernel}/vmlinux";
        initrd_path = vm.initrdPath;
        boot_args = "console=ttyS0 ${toString vm.kernelParams}";
      };
      machine-config = { vcpu_count = vm.vcpu; mem_size_mib = vm.mem; smt = true; };
      drives = [ ];
    })}"
    "--api-sock" vm.socket
    "--enable-pci"
  ];

  # Those with an option for the initrd, and no other way for credentials.
  withOption = package: words:
    if vm.credentialFiles != { } then throw "no support for credentialFiles" else
      [ "${package}/bin/${lib.head words}" ] ++ lib.tail words ++ [ vm.initrdPath ];

  commands = {
    inherit firecracker qemu;
    cloud-hypervisor = cloudHypervisor;
    alioth = withOption vm.alioth.package [ "alioth" "run" "-i" ];
    crosvm = withOption vm.crosvm.package [ "crosvm" "run" "--initrd" ];
    kvmtool = withOption vm.kvmtool.package [ "lkvm" "run" "-i" ];
    stratovirt = withOption vm.stratovirt.package [ "stratovirt" "-initrd" ];
  } // lib.genAttrs [ "vfkit" ] (name: if vm.credentialFiles != { } then throw "${name} does not support credentialFiles" else [ "false" ]);

  processName = lib.optionalString vm.prettyProcnames ''-a "microvm@${hostName}"'';

  runner = command: pkgs.writeShellScriptBin "microvm-run" ''
    set -eou pipefail
    ${lib.optionalString (lib.any (interface: interface.type == "macvtap") vm.interfaces) ''
      exec 3<>/dev/tap$(< "/sys/class/net/vm-1/ifindex")
    ''}
    runtime_args=${lib.optionalString (vm.extraArgsScript != null) "$(${vm.extraArgsScript})"}
    exec ${processName} ${lib.escapeShellArgs command} ''${runtime_args:-}
  '';
in
{
  options.microvm = {
    guest.enable = option lib.types.bool true;
    hypervisor = option lib.types.str "qemu";
    cpu = option (lib.types.nullOr lib.types.str) null;
    vmHostPackages = option lib.types.pkgs pkgs;
    vcpu = option lib.types.int 1;
    mem = option lib.types.int 512;
    hotplugMem = option lib.types.int 0;
    hugepageMem = option lib.types.bool false;
    balloon = option lib.types.bool false;
    initialBalloonMem = option lib.types.int 0;
    machineId = option (lib.types.nullOr lib.types.str) null;
    initrdPath = option lib.types.str "/run/stand-in/initrd";
    kernelParams = option strings [ "panic=-1" ];
    socket = option (lib.types.nullOr lib.types.str) "${hostName}.sock";
    prettyProcnames = option lib.types.bool true;
    extraArgsScript = option (lib.types.nullOr lib.types.str) null;
    credentialFiles = option (lib.types.attrsOf lib.types.path) { };
    volumes = sets;
    interfaces = sets;
    shares = sets;
    devices = sets;
    vsock.cid = option (lib.types.nullOr lib.types.int) null;
    graphics.enable = option lib.types.bool false;
    graphics.socket = option lib.types.str "gpu.sock";
    cloud-hypervisor.package = option lib.types.package vm.vmHostPackages.cloud-hypervisor;
    cloud-hypervisor.platformOEMStrings = option strings [ ];
    cloud-hypervisor.extraArgs = option strings [ ];
    alioth.package = option lib.types.package vm.vmHostPackages.alioth;
    crosvm.package = option lib.types.package vm.vmHostPackages.crosvm;
    firecracker.package = option lib.types.package vm.vmHostPackages.firecracker;
    kvmtool.package = option lib.types.package vm.vmHostPackages.kvmtool;
    stratovirt.package = option lib.types.package vm.vmHostPackages.stratovirt;
    qemu.package = option lib.types.package vm.vmHostPackages.qemu_kvm;
    qemu.machine = option lib.types.str (if system == "x86_64-linux" then "microvm" else "virt");
    qemu.extraArgs = option strings [ ];
    runner = option (lib.types.attrsOf lib.types.package) { };
    declaredRunner = option lib.types.package vm.runner.${vm.hypervisor};
  };

  config.microvm.runner = lib.mapAttrs (_: runner) commands;
}
