# vmcred itself: pkgs.callPackage ./nix/package.nix { }. Not tested: the project is built on Debian, without Nix.
{ lib, stdenv, meson, ninja, pkg-config, scdoc, openssl, libxcrypt, pcre2, zlib, jansson }:

stdenv.mkDerivation {
  pname = "vmcred";
  version = lib.trim (builtins.readFile ../VERSION);
  src = lib.cleanSource ../.;
  nativeBuildInputs = [ meson ninja pkg-config scdoc ];
  buildInputs = [ openssl libxcrypt pcre2 zlib jansson ];
  mesonFlags = [ "-Dtests=false" ];
  meta = {
    description = "Deliver secrets to microVMs as systemd credentials";
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
    mainProgram = "vmcred";
  };
}
