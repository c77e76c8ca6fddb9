# SPDX-License-Identifier: Apache-2.0
# The text of a vmcred.yaml that declares what clan.core.vars.generators declare on these machines:
#
#     import ./clan-vars.nix { inherit lib; machines = self.nixosConfigurations; }
#
# It stands beside the folders vars/ and sops/ of the clan. What depends on each machine, such as `path`, is left out:
# vmcred derives it. A generator of one name has to be the same on all machines that have it, and every secret is for the
# default groups of all.
{ lib, machines }:
let
  generators = lib.mapAttrs (_: machine: machine.config.clan.core.vars.generators) machines;

  names = lib.unique (lib.concatMap lib.attrNames (lib.attrValues generators));

  machinesWith = name: lib.filter (machine: generators.${machine} ? ${name}) (lib.attrNames generators);

  only = attributes: lib.mapAttrs (_: lib.getAttrs attributes);

  declaration = generator: {
    inherit (generator) share dependencies validation script;
    runtimeInputs = map (input: "${lib.getBin input}") generator.runtimeInputs;
    prompts = only [ "type" "description" "persist" ] generator.prompts;
    files = only [ "secret" "deploy" "owner" "group" "mode" "neededFor" "restartUnits" ] generator.files;
  };

  declared = name:
    let
      all = map (machine: declaration generators.${machine}.${name}) (machinesWith name);
      first = lib.head all;
    in
    if lib.all (other: other == first) all then
      first // { machines = machinesWith name; }
    else
      throw "The generator ${name} is not the same on all of its machines: ${toString (machinesWith name)}";
in
builtins.toJSON {
  sops.defaultGroups = lib.unique (
    lib.concatMap (machine: machine.config.clan.core.sops.defaultGroups) (lib.attrValues machines)
  );
  machines = lib.mapAttrs (_: _: { }) machines;
  generators = lib.genAttrs names declared;
}
