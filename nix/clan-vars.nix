# SPDX-License-Identifier: Apache-2.0
# The text of a vmcred.yaml that declares the clan.core.vars.generators of these machines:
#
#     vmcred.lib.clanVars { inherit (nixpkgs) lib; machines = self.clanInternals.machines.x86_64-linux; }
#
# Put it beside the clan's directories vars/ and sops/. `clanInternals.machines` has the machines of the clan with programs
# for the system where vmcred generates; self.nixosConfigurations does as well if all of them have this system.
#
# Options that vmcred derives, such as `path`, are omitted. A generator that differs between machines becomes a list of
# variants.
{ lib, machines }:
let
  generators = lib.mapAttrs (name: machine:
    let
      vars = machine.config.clan.core.vars or (throw ''
        ${name} is not a machine of a clan: it has no option clan.core.vars. Pass self.clanInternals.machines.x86_64-linux.
      '');
      store = vars.settings.secretStore or "sops";
    in
    if store == "sops" then
      vars.generators
    else
      throw ''
        The machine ${name} has clan.core.vars.settings.secretStore = "${store}", but vmcred reads only clan's store "sops".
        To change it, run `clan vars export DIRECTORY`, set clan.vars.settings.secretStore = "sops", run
        `clan vars import DIRECTORY`, and remove the directory, which has the secrets in plaintext.
      ''
  ) machines;

  names = lib.unique (lib.concatMap lib.attrNames (lib.attrValues generators));

  only = attributes: lib.mapAttrs (_: lib.getAttrs attributes);

  # The coreutils are clan's addition.
  definition = name: machine:
    let generator = generators.${machine}.${name}; in
    {
      inherit (generator) share dependencies validation script;
      runtimeInputs = map (input: "${lib.getBin input}") (generator.runtimeInputs ++ [ generator.pkgs.coreutils ]);
      prompts = only [ "type" "description" "persist" ] generator.prompts;
      files = only [ "secret" "deploy" "owner" "group" "mode" "neededFor" "restartUnits" ] generator.files;
    };

  # One set of files for all these machines. As in clan, the first one has the script, and the units may differ.
  shared = name: holders:
    let
      all = map (definition name) holders;
      first = lib.head all;
      same = generator: removeAttrs generator [ "script" "runtimeInputs" ] // {
        files = lib.mapAttrs (_: file: removeAttrs file [ "restartUnits" ]) generator.files;
      };
      others = lib.filter (machine: same (definition name machine) != same first) holders;
      units = file: lib.unique (lib.concatMap (generator: generator.files.${file}.restartUnits) all);
    in
    if others == [ ] then
      first // {
        machines = holders;
        files = lib.mapAttrs (name: file: file // { restartUnits = units name; }) first.files;
      }
    else
      throw ''
        The shared generator ${name} differs between ${lib.head holders} and ${toString others}. Declare it once, in a module
        of all of them, or set share = false. Only script, runtimeInputs and restartUnits may differ.
      '';

  # A variant for each group of machines with the same definition.
  variants = name: holders:
    map (generator: generator // {
      machines = lib.filter (machine: definition name machine == generator) holders;
    }) (lib.unique (map (definition name) holders));

  declared = name:
    let
      all = lib.filter (machine: generators.${machine} ? ${name}) (lib.attrNames generators);
      isShared = machine: generators.${machine}.${name}.share;
      sharing = lib.filter isShared all;
      list = lib.optional (sharing != [ ]) (shared name sharing)
        ++ variants name (lib.filter (machine: !isShared machine) all);
    in
    if lib.length list == 1 then lib.head list else list;
in
builtins.toJSON {
  sops.defaultGroups = lib.unique (
    lib.concatMap (machine: machine.config.clan.core.sops.defaultGroups) (lib.attrValues machines)
  );
  machines = lib.mapAttrs (_: _: { }) machines;
  generators = lib.genAttrs names declared;
}
