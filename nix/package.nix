# SPDX-License-Identifier: Apache-2.0
# vmcred: pkgs.callPackage ./nix/package.nix { }
#
# bin/sops-install-secrets makes it a drop-in for sops-nix: sops.package = vmcred. A package with bin/sops or with bin/age
# and bin/age-keygen, which would otherwise hide the original programs, is vmcred.sops or vmcred.age.
{ lib, stdenv, runCommand, meson, ninja, pkg-config, scdoc, openssl, libxcrypt, pcre2, zlib, jansson }:

let
  # A package with links to `program` only.
  links = name: program: names: runCommand name { meta = vmcred.meta // { mainProgram = name; }; } ''
    mkdir -p $out/bin
    ${lib.concatMapStrings (link: "ln -s ${vmcred}/bin/${program} $out/bin/${link}\n") names}
  '';

  vmcred = stdenv.mkDerivation {
    pname = "vmcred";
    version = lib.trim (builtins.readFile ../VERSION);
    # Only what the build reads, so that other changes do not rebuild it.
    src = lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions [
        ../VERSION ../meson.build ../meson_options.txt ../include ../src ../units ../docs ../completions
      ];
    };
    nativeBuildInputs = [ meson ninja pkg-config scdoc ];
    buildInputs = [ openssl libxcrypt pcre2 zlib jansson ];
    mesonFlags = [ "-Dtests=false" ];
    # microvm.nix has a unit of this name: with both, systemd.packages would give it two ExecStart= lines.
    postInstall = ''
      rm "$out/lib/systemd/system/microvm@.service"
      ln -s vmcred "$out/bin/sops-install-secrets"
    '';
    passthru = {
      # For guests: without the units of hosts.
      guest = runCommand "vmcred-guest" { meta = vmcred.meta // { mainProgram = "vmcred-guest"; }; } ''
        mkdir -p $out/bin $out/lib/systemd/system
        ln -s ${vmcred}/bin/vmcred-guest $out/bin
        ln -s ${vmcred}/lib/systemd/system/vmcred-guest* $out/lib/systemd/system
      '';
      sops = links "sops" "vmcred-sops" [ "sops" ];
      age = links "age" "vmcred" [ "age" "age-keygen" ];
    };
    meta = {
      description = "Deliver secrets to microVMs as systemd credentials";
      longDescription = ''
        Secrets are declared once, stored in SOPS documents that are encrypted to age recipients, and decrypted only on
        the host that needs them. The hypervisor passes them to the guest, where systemd offers them to services. No secret
        appears in a command line, an environment, a log or on a disk.
      '';
      license = lib.licenses.asl20;
      platforms = [ "x86_64-linux" "aarch64-linux" ];
      mainProgram = "vmcred";
    };
  };
in
vmcred
