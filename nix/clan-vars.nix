# SPDX-License-Identifier: Apache-2.0
# The text of a vmcred.yaml that declares the clan.core.vars.generators of these machines:
#
#     import ./clan-vars.nix { inherit lib; machines = self.nixosConfigurations; }
#
# Put it beside the clan's directories vars/ and sops/. Options that depend on the machine, such as `path`, are omitted:
# vmcred derives them. A generator must be the same on all machines that have it, and every secret is encrypted to the
# default groups of all machines.
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
