# SPDX-License-Identifier: Apache-2.0
{
  description = "Deliver secrets to microVMs as systemd credentials";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      each = function: lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: function nixpkgs.legacyPackages.${system});

      # Built with the package set of the user's machine.
      modules = { vmcred = pkgs: pkgs.callPackage ./nix/package.nix { }; };
    in
    {
      packages = each (pkgs:
        let vmcred = modules.vmcred pkgs; in {
          default = vmcred;
          inherit vmcred;
          inherit (vmcred) sops age;
        });

      overlays.default = final: _: { vmcred = modules.vmcred final; };

      nixosModules = {
        default = import ./nix/module.nix modules;
        guest = import ./nix/guest.nix modules;
        host = import ./nix/host.nix modules;
      };

      lib.clanVars = import ./nix/clan-vars.nix;

      checks = each (pkgs: {
        inherit (self.packages.${pkgs.stdenv.hostPlatform.system}) vmcred sops age;
        units =
          let
            system = lib.nixosSystem {
              modules = [
                self.nixosModules.default
                {
                  nixpkgs.pkgs = pkgs;
                  system.stateVersion = lib.trivial.release;
                  boot.isContainer = true;
                  services.vmcred = { enable = true; serve = true; };
                }
              ];
            };
          in
          system.config.system.build.etc;
      });

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.vmcred ];
          # For the tests, which `meson setup` builds.
          packages = with pkgs; [ age clang-tools cmocka dmidecode openssl python3 sops wireguard-tools ];
        };
      });
    };
}
