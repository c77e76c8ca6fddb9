# SPDX-License-Identifier: Apache-2.0
# What the tests evaluate and build: vmcred's modules with the modules of microvm.nix in `sources`, the original's or ours.
# `source` is a store of vmcred; `sopsFile` and `keyFile` are what sops-nix decrypts. `clanCore` is clan-core or null, and
# `page` has the flakes of docs/nixos.md.
{ sources ? ./sources
, hypervisors ? "/hypervisors"
, vmcredBuild ? "/vmcred"
, kernel ? "/kernel"
, source ? ./sources
, sopsFile ? null
, keyFile ? null
, clanCore ? null
, page ? null
}:
let
  lib = import (sources + "/nixpkgs.lib/lib");
  pkgsFor = system: import ./pkgs.nix { inherit sources hypervisors vmcredBuild kernel system; };
  x86 = pkgsFor "x86_64-linux";
  configs = import ./configs.nix { inherit lib; };

  nixos = modules: import ./nixos/lib/eval-config.nix { pkgs = x86; inherit modules; };

  nixpkgs = {
    lib = lib // { nixosSystem = { modules }: nixos modules; };
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsFor;
  };

  flake = (import ../../flake.nix).outputs {
    inherit nixpkgs;
    self = flake // { inherit (flake) packages nixosModules; };
  };

  clan = import ./clan.nix { inherit lib clanCore; pkgs = x86; inherit (flake.lib) clanVars; };

  evaluate = name: { system, microvm, module ? { }, ... }:
    import ./nixos/lib/eval-config.nix {
      pkgs = pkgsFor system;
      modules = [
        (sources + "/microvm.nix/nixos-modules/microvm")
        flake.nixosModules.guest
        module
        { networking.hostName = name; inherit microvm; }
        { microvm.credentialFiles.API_KEY = "/run/secrets/api-key"; }
      ];
    };

  links = paths: x86.runCommand "links" { } (lib.concatStrings (lib.mapAttrsToList (name: path: ''
    mkdir -p $(dirname $out/${name})
    ln -s ${path} $out/${name}
  '') paths));

  guests = lib.mapAttrs evaluate (configs.works // configs.others // configs.refused // configs.unchanged);

  inherit (import ./hosts.nix { inherit lib source; }) hosts machines;

  evaluatedHosts = lib.mapAttrs (_: module: nixos [
    (sources + "/microvm.nix/nixos-modules/host")
    flake.nixosModules.host
    module
  ]) hosts;
  evaluatedMachines = lib.mapAttrs (_: module: nixos [ flake.nixosModules.default module ]) machines;

  # systemd.services as files of units: a small part of what NixOS does.
  unitFiles = services: lib.mapAttrs' (name: service: lib.nameValuePair
    # NixOS adds to the units of packages with drop-ins, too.
    (if service.overrideStrategy or "" == "asDropin" || lib.hasPrefix "vmcred" name then
      "${name}.service.d/overrides.conf"
    else
      "${name}.service")
    (x86.writeText "unit" (unitText name service))
  ) services;

  lines = set: lib.concatStrings (lib.mapAttrsToList (key: value:
    lib.concatMapStrings (item: "${key}=${if lib.isString item then item else builtins.toJSON item}\n")
      (if lib.isList value then value else [ value ])
  ) set);

  unitText = name: service:
    "[Unit]\n"
    + lines (lib.filterAttrs (_: value: value != [ ]) {
      After = service.after or [ ];
      Before = service.before or [ ];
      Requires = service.requires or [ ];
      Wants = service.wants or [ ];
      PartOf = service.partOf or [ ];
    } // service.unitConfig or { })
    + "[Service]\n"
    + lines { Environment = lib.mapAttrsToList (key: value: "${key}=${value}") (service.environment or { }); }
    + lines (service.serviceConfig or { })
    + lib.optionalString (service ? script) "ExecStart=${x86.writeShellScript "start" service.script}\n";

  failed = config: map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) config.assertions);

  facts = name: { config, options, ... }: {
    inherit (config.microvm) hypervisor;
    inherit (config.vmcred.guest) enable credentialFiles;
    strings = config.microvm.cloud-hypervisor.platformOEMStrings
      ++ lib.optional (config.microvm.hypervisor == "cloud-hypervisor" && config.microvm.vsock.cid != null)
        "io.systemd.credential:vmm.notify_socket=vsock-stream:2:8888";
    name = if config.microvm.prettyProcnames then "microvm@${name}" else null;
    failed = failed config;
    services = lib.mapAttrs (_: service: service.serviceConfig.LoadCredential)
      (lib.filterAttrs (_: service: service ? serviceConfig.LoadCredential) (config.systemd.services or { }));
    channel = {
      packages = map (package: package.name) (config.systemd.packages or [ ]);
      socket = config.systemd.sockets.vmcred-guest.wantedBy or [ ];
      watch = config.systemd.services.vmcred-guest-watch or null;
      verify = config.systemd.services.vmcred-guest-verify.wantedBy or null;
    };
    inInitrd = config.boot.initrd.systemd.services.vmcred-credentials.script or null;
    initrd = config.boot.initrd.availableKernelModules or [ ];
    runners = lib.attrNames (lib.filterAttrs (_: runner: (builtins.tryEval runner.drvPath).success) (
      if lib.elem name [ "ch-minimal" "ch-aarch64" "off-qemu" ] then config.microvm.runner else { }
    ));
    throws = !(builtins.tryEval config.microvm.declaredRunner.drvPath).success;
  };
in
{
  inherit flake;
  inherit clan;
  page = import ./flakes.nix { inherit lib nixos nixpkgs sources clan page; vmcred = flake; };
  facts = lib.mapAttrs facts guests;
  hosts = lib.mapAttrs (_: host: {
    services = lib.mapAttrs (_: service: service.serviceConfig or { }) host.config.systemd.services;
    after = host.config.systemd.services."microvm@test-vm".after or [ ];
    programs = map (package: package.pname) (host.config.environment.systemPackages or [ ]);
    declaration = host.config.environment.etc."vmcred/vmcred.yaml".text or null;
    inherit (host.config.vmcred.host) credentialFiles;
    failed = failed host.config;
  }) evaluatedHosts;
  machines = lib.mapAttrs (_: { config, ... }: {
    failed = failed config;
    services = lib.mapAttrs (name: unitText name) config.systemd.services;
    wanted = lib.mapAttrs (_: service: service.wantedBy or [ ]) (config.systemd.services // config.systemd.sockets or { });
    scripts = config.system.activationScripts or { };
    etc = lib.attrNames (config.environment.etc or { });
  }) evaluatedMachines;
  # What sops-nix runs at activation, with vmcred as its package. It checks its manifest with the same program.
  sopsNix = x86.writeText "setup-secrets" (nixos [
    (sources + "/sops-nix/modules/sops")
    ({ config, ... }: {
      sops = {
        packageSource = links { inherit (flake.packages.x86_64-linux.default) src; };
  package = flake.packages.x86_64-linux.default;
        defaultSopsFile = sopsFile;
        age = { inherit keyFile; };
        secrets."web/api-key" = { mode = "0440"; owner = "root"; restartUnits = [ "microvm@web.service" ]; };
        secrets.link.path = "/run/elsewhere/link";
        templates.env.content = "LINK=${config.sops.placeholder.link}\n";
      };
      users.users.root.group = "root";
    })
  ]).config.system.activationScripts.setupSecrets.text;
  outputs = {
    packages = lib.mapAttrs (_: lib.attrNames) flake.packages;
    checks = lib.mapAttrs (_: lib.attrNames) flake.checks;
    devShells = lib.attrNames flake.devShells.x86_64-linux;
    nixosModules = lib.attrNames flake.nixosModules;
    overlay = lib.attrNames (flake.overlays.default x86 { });
    lib = lib.attrNames flake.lib;
  };
  # The packages of hypervisors as microvm.nix changes them.
  wrapped =
    let
      inherit (guests.ch-minimal.config.microvm.cloud-hypervisor) package;
      changed = package.overrideAttrs (_: { version = "54.0"; });
      qemu = guests.qemu-minimal.config.microvm.qemu.package.override (_: { });
    in
    {
      inherit (package) version;
      inherit (package.meta) mainProgram;
      overridden = changed.version;
      wrapsTheOverridden = lib.hasPrefix "vmcred-" changed.name;
      inherit (qemu.overrideAttrs (old: { configureFlags = old.configureFlags ++ [ "--more" ]; })) configureFlags;
    };
  mentions = lib.mapAttrs (_: config: config.mentions) configs.refused;
  names = lib.mapAttrs (_: lib.attrNames) configs;
  packageSource = links { inherit (flake.packages.x86_64-linux.default) src; };
  package = flake.packages.x86_64-linux.default;
  # bin/sops, bin/age and bin/age-keygen.
  links = links { inherit (flake.packages.x86_64-linux) sops age; inherit (flake.packages.x86_64-linux.vmcred) guest; };
  # The units of a host, and the runner of its VM.
  systems = lib.mapAttrs (_: host: links (
    { runner = host.config.microvm.vms.test-vm.config.config.microvm.declaredRunner; } // unitFiles host.config.systemd.services
  )) (removeAttrs evaluatedHosts [ "mixed" ]);
  # A link to each runner.
  runners = links (lib.mapAttrs (_: guest: guest.config.microvm.declaredRunner)
    (removeAttrs guests (lib.attrNames configs.refused)));
}
