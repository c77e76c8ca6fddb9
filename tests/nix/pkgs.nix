# SPDX-License-Identifier: Apache-2.0
# Stands in for nixpkgs: derivations that the machine's bash builds, of links to the machine's programs.
#
# `sources` is a directory with nixpkgs.lib, `hypervisors` one with the programs that the runners call, and `vmcredBuild` one
# with vmcred's.
{ sources, hypervisors, vmcredBuild, kernel, system ? "x86_64-linux" }:
let
  lib = import (sources + "/nixpkgs.lib/lib") // {
    # The original needs a newer Nix.
    fileset = {
      unions = files: assert lib.all builtins.pathExists files; map toString files;
      toSource = { root, fileset }: builtins.path {
        name = "source";
        path = root;
        filter = path: _: lib.any (file: path == file || lib.hasPrefix "${file}/" path) fileset;
      };
    };
  };

  # What vmcred's files and microvm.nix use of a derivation of nixpkgs.
  package = extra: drv:
    { meta = { }; passthru = { }; pname = drv.name; version = "1"; } // drv // {
      override = _: package extra drv;
      overrideAttrs = change: package (extra // change ({ configureFlags = [ ]; buildInputs = [ ]; } // extra)) drv;
    } // extra;

  # Texts travel as files, because they may be too long for an environment.
  build = name: attributes: script: package { } (derivation ({
    name = lib.strings.sanitizeDerivationName name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    # With the last line, bash does not execute the last command as its own process. That one may close its output before it
    # exits, and Nix 2.8 then kills it.
    args = [ "-ec" ''
      export PATH=/usr/bin:/bin:/usr/sbin:/sbin
      ${script}
      exit 0
    '' ];
    preferLocalBuild = true;
    allowSubstitutes = false;
  } // attributes));

  file = name: text: script: build name { inherit text; passAsFile = [ "text" ]; } script;

  platform = lib.systems.elaborate system;

  programs = name: paths: extra: package (extra // { meta.mainProgram = baseNameOf (lib.head (paths ++ [ name ])); })
    (build name { } ''
      mkdir -p $out/bin
      for path in ${toString paths}; do ln -s $path $out/bin/; done
    '');

  pkgs = {
    _type = "pkgs";
    inherit lib;
    # For VMs that the host's configuration has.
    path = ./.;
    config = { };
    stdenv = {
      hostPlatform = platform;
      targetPlatform = platform;
      buildPlatform = if system == builtins.currentSystem then platform else lib.systems.elaborate builtins.currentSystem;
      # Installs what the project's build made, and then runs the package's commands.
      mkDerivation = { pname, version, postInstall ? "", passthru ? { }, meta ? { }, ... }@attributes:
        package (passthru // { inherit meta passthru version; inherit (attributes) src; }) (file "${pname}-${version}" postInstall ''
          cp -r ${vmcredBuild} $out
          chmod -R u+w $out
          . $textPath
        '');
    };
    linux.target = if lib.hasPrefix "aarch64" system then "Image" else "bzImage";
    buildPackages = pkgs;
    runtimeShell = "/bin/bash";

    callPackage = function: arguments:
      let f = if lib.isFunction function then function else import function; in
      f (lib.intersectAttrs (lib.functionArgs f) pkgs // arguments);
    runCommand = name: environment: text:
      package { passthru = environment.passthru or { }; meta = environment.meta or { }; } (file name text ". $textPath")
      // environment.passthru or { };
    runCommandLocal = pkgs.runCommand;
    writeText = name: text: file name text "cp $textPath $out";
    writeTextFile = { name, text, executable ? false, destination ? "", checkPhase ? "", ... }: file name text ''
      mkdir -p $(dirname $out${destination})
      cp $textPath $out${destination}
      ${lib.optionalString executable "chmod +x $out${destination}"}
      ${checkPhase}
    '';
    writeShellScript = name: text: file name "#!/bin/bash\n${text}\n" "cp $textPath $out; chmod +x $out";
    writeShellScriptBin = name: text: file name "#!/bin/bash\n${text}\n" ''
      mkdir -p $out/bin
      cp $textPath $out/bin/${name}
      chmod +x $out/bin/${name}
    '';
    writers.writeJSON = name: value: pkgs.writeText name (builtins.toJSON value);
    writers.writePython3 = name: _: text: pkgs.writeText name text;
    symlinkJoin = { name, paths, postBuild ? "", ... }: build name { inherit paths postBuild; passAsFile = [ "postBuild" ]; } ''
      mkdir $out
      for path in $paths; do cp -rs --no-preserve=mode $path/. $out; done
      makeWrapper() { bash ${./make-wrapper} "$@"; }
      . $postBuildPath
    '';
    makeBinaryWrapper = "make-wrapper";
    python3Packages.supervisor = programs "supervisor" [ ] { };
    replaceVars = text: _: text;
    closureInfo = _: "/run/stand-in/closure";
    buildEnv = { name, ... }: programs name [ ] { };

    cloud-hypervisor = programs "cloud-hypervisor-53.0" [ "${hypervisors}/cloud-hypervisor" "${hypervisors}/ch-remote" ] {
      version = "53.0";
    };
    alioth = programs "alioth-0.9" [ "${hypervisors}/alioth" ] { version = "0.9"; };
    crosvm = programs "crosvm-0" [ "${hypervisors}/crosvm" ] { version = "0"; };
    kvmtool = programs "kvmtool-0" [ "${hypervisors}/lkvm" ] { version = "0"; };
    stratovirt = programs "stratovirt-2.4" [ "${hypervisors}/stratovirt" ] { version = "2.4"; };
    # It gives a program a terminal.
    expect = programs "expect" [ "${hypervisors}/unbuffer" ] { };
    firecracker = programs "firecracker-1.13.1" [ "${hypervisors}/firecracker" ] { version = "1.13.1"; };
    qemu_kvm = programs "qemu-host-cpu-only-10.1" [ "${hypervisors}/qemu-system-x86_64" "${hypervisors}/qemu-system-aarch64" ] {
      version = "10.1";
      configureFlags = [ "--enable-seccomp" ];
    };
    qemu = pkgs.qemu_kvm;
    cloud-hypervisor-graphics = pkgs.cloud-hypervisor;
    vmcred = pkgs.callPackage ../../nix/package.nix { };
    kernel = programs "linux-6.12" [ ] { version = "6.12"; dev = kernel; out = kernel; };
  }
  # Programs that the runners only mention, and libraries.
  // lib.genAttrs [
    "age" "bash" "bubblewrap" "coreutils" "coreutils-full" "curl" "e2fsprogs" "erofs-utils" "fakegpu"
    "gawk" "git" "gnugrep" "gnupg" "gnused" "iproute2" "jansson" "jq" "kmod" "libusb1" "libxcrypt" "meson"
    "netcat" "ninja" "nix" "openssh" "openssl" "pcre2" "pkg-config" "python3" "qemu-utils" "scdoc" "socat" "squashfs-tools-ng"
    "systemd" "time" "util-linux" "util-linuxMinimal" "vfkit" "virtiofsd" "zlib"
  ] (name: programs name [ ] { });
in
pkgs // { kernel = pkgs.kernel // { dev = kernel; out = kernel; outPath = kernel; }; }
