# SPDX-License-Identifier: Apache-2.0
# Stands in for the part of nixpkgs' lib that vmcred's .nix files use, for machines without nixpkgs: its module system
# without checks of undeclared options, and types that merge but hardly check.
let
  inherit (builtins)
    all attrNames attrValues concatLists concatMap concatStringsSep elem elemAt filter foldl' functionArgs hasAttr head isAttrs
    isFunction isList isString length listToAttrs map mapAttrs match replaceStrings split stringLength substring;

  # Definitions

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };

  kind = value: if isAttrs value then value._type or "" else "";

  # The attribute sets of a definition; conditions and priorities move to their attributes, where they are lazy.
  pushed = value:
    if kind value == "merge" then concatMap pushed value.contents
    else if kind value == "if" then map (mapAttrs (_: mkIf value.condition)) (pushed value.content)
    else if kind value == "override" then map (mapAttrs (_: mkOverride value.priority)) (pushed value.content)
    else [ value ];

  # The values of a definition with their priorities.
  discharged = priority: value:
    if kind value == "merge" then concatMap (discharged priority) value.contents
    else if kind value == "if" then if value.condition then discharged priority value.content else [ ]
    else if kind value == "override" then discharged value.priority value.content
    else [ { inherit priority value; } ];

  winning = definitions:
    let
      values = concatMap (discharged 100) definitions;
      best = foldl' (least: { priority, ... }: if priority < least then priority else least) 10000 values;
    in
    filter ({ priority, ... }: priority == best) values;

  # Types

  type = name: merge: { _type = "option-type"; inherit name merge; };
  last = values: elemAt values (length values - 1);
  one = name: type name (_: definitions: (last definitions).value);
  merged = type: loc: definitions: type.merge loc (winning definitions);

  types = {
    anything = one "anything";
    bool = one "bool";
    deferredModule = type "deferredModule" (_: definitions: { imports = map (definition: definition.value) definitions; });
    enum = _: one "enum";
    int = one "int";
    ints.positive = one "int";
    lines = type "lines" (_: definitions: concatStringsSep "\n" (map (definition: definition.value) definitions));
    package = one "package";
    path = one "path";
    pkgs = one "pkgs";
    str = one "str";
    unspecified = one "unspecified";
    nullOr = inner: type "nullOr" (loc: definitions:
      if all ({ value, ... }: value == null) definitions then null
      else inner.merge loc (filter ({ value, ... }: value != null) definitions));
    listOf = inner: type "listOf" (loc: definitions: concatMap ({ value, ... }:
      map (item: merged inner loc [ item ]) value
    ) definitions);
    attrsOf = inner: { inherit inner; } // type "attrsOf" (loc: definitions:
      let
        sets = concatMap ({ value, ... }: pushed value) definitions;
        of = name: winning (concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets);
        names = filter (name: of name != [ ]) (unique (concatMap attrNames sets));
      in
      genAttrs names (name: inner.merge (loc ++ [ name ]) (of name)));
    submodule = module: { inherit module; } // type "submodule" (loc: definitions: (evalModules {
      modules = [ module ] ++ map ({ value, ... }: if isFunction value then value else { config = value; }) definitions;
      specialArgs.name = last loc;
    }).config);
  };

  # The type of an option that is declared twice, the second time with more options in it.
  extended = first: second:
    if first ? inner && second ? inner then types.attrsOf (extended first.inner second.inner)
    else if first ? module && second ? module then types.submodule { imports = [ first.module second.module ]; }
    else second;

  # Modules

  isOption = value: kind value == "option";

  evaluated = loc: option: definitions:
    let
      default = if option ? default then [ (mkOverride 1500 option.default) ] else [ ];
      optionType = option.type or types.unspecified;
      definitionsWithLocations = map ({ value, ... }: { file = "a module"; inherit value; }) (winning (default ++ definitions));
      value =
        if definitionsWithLocations != [ ] then optionType.merge loc definitionsWithLocations
        else if elem optionType.name [ "attrsOf" "listOf" "submodule" ] then optionType.merge loc [ ]
        else throw "The option `${concatStringsSep "." loc}' was accessed but has no value defined";
    in
    option // { type = optionType; inherit loc definitionsWithLocations; value = (option.apply or (x: x)) value; };

  # Merges the declarations of all modules.
  declared = trees:
    let of = name: concatMap (tree: if tree ? ${name} then [ tree.${name} ] else [ ]) trees; in
    genAttrs (unique (concatMap attrNames trees)) (name:
      if isOption (head (of name)) then
        foldl' (a: b: a // b // (if a ? type && b ? type then { type = extended a.type b.type; } else { })) { } (of name)
      else declared (of name));

  evaluatedTree = loc: tree: definitions:
    let sets = concatMap pushed definitions; in
    mapAttrs (name: below:
      let of = concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets; in
      if isOption below then evaluated (loc ++ [ name ]) below of else evaluatedTree (loc ++ [ name ]) below of
    ) tree;

  values = tree: mapAttrs (_: below: if isOption below then below.value else values below) tree;

  evalModules = { modules, specialArgs ? { }, ... }:
    let
      arguments = { inherit lib config options; } // specialArgs;

      loaded = module:
        if isFunction module then loaded (module (
          if functionArgs module == { } then arguments else mapAttrs (name: _: arguments.${name}) (functionArgs module)
        ))
        else if !isAttrs module then loaded (import module) // { key = toString module; }
        else if module ? options || module ? config then module
        else module // { config = removeAttrs module [ "_file" "imports" "key" ]; };

      collected = concatMap (module:
        let this = loaded module; in [ this ] ++ collected (this.imports or [ ])
      );

      # A module with a key counts once.
      each = foldl' (found: module:
        if module ? key && any (other: other.key or null == module.key) found then found else found ++ [ module ]
      ) [ ] (collected modules);

      options = evaluatedTree [ ] (declared (map (module: module.options or { }) each)) (map (module: module.config or { }) each);
      config = values options;
    in
    { inherit config options; };

  # The rest

  any = builtins.any;
  genAttrs = names: function: listToAttrs (map (name: { inherit name; value = function name; }) names);
  unique = foldl' (found: item: if elem item found then found else found ++ [ item ]) [ ];
  mapAttrsToList = function: set: attrValues (mapAttrs function set);
  nameValuePair = name: value: { inherit name value; };
  optional = condition: item: if condition then [ item ] else [ ];
  optionals = condition: items: if condition then items else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  hasPrefix = prefix: text: substring 0 (stringLength prefix) (toString text) == prefix;
  escapeShellArg = argument:
    if match "[[:alnum:],._+:@%/-]+" (toString argument) != null then toString argument
    else "'${replaceStrings [ "'" ] [ "'\\''" ] (toString argument)}'";

  lib = {
    inherit
      all any attrNames attrValues concatLists concatMap concatStringsSep elem escapeShellArg evalModules filter foldl'
      functionArgs genAttrs hasPrefix head isAttrs isFunction isList isString last length listToAttrs mapAttrs mapAttrsToList
      mkIf mkMerge mkOverride nameValuePair optional optionalAttrs optionals optionalString replaceStrings types unique;
    inherit (builtins) elemAt intersectAttrs tail;
    concatMapStrings = function: list: concatStringsSep "" (map function list);
    concatMapStringsSep = separator: function: list: concatStringsSep separator (map function list);
    concatStrings = concatStringsSep "";
    escapeShellArgs = list: concatStringsSep " " (map escapeShellArg list);
    filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
    getAttrs = names: set: genAttrs names (name: set.${name});
    getBin = package: package.bin or package;
    getExe = package: "${package}/bin/${package.meta.mainProgram}";
    importJSON = file: builtins.fromJSON (builtins.readFile file);
    isDerivation = value: kind value == "" && value.type or "" == "derivation";
    literalExpression = text: { _type = "literalExpression"; inherit text; };
    literalMD = text: { _type = "literalMD"; inherit text; };
    mapAttrs' = function: set: listToAttrs (mapAttrsToList function set);
    mkDefault = mkOverride 1000;
    mkEnableOption = what: lib.mkOption { type = types.bool; default = false; description = "Whether to enable ${what}."; };
    mkForce = mkOverride 50;
    mkOption = option: option // { _type = "option"; };
    mkOptionType = { name, merge, ... }: type name merge;
    recursiveUpdate = a: b: a // mapAttrs (name: value:
      if isAttrs value && isAttrs (a.${name} or null) then lib.recursiveUpdate a.${name} value else value) b;
    splitString = separator: text: filter isString (split separator text);
    stringAfter = deps: text: { inherit deps text; };
    trim = text: head (match "[[:space:]]*(.*[^[:space:]])[[:space:]]*" text);
    licenses.asl20.spdxId = "Apache-2.0";
    strings.sanitizeDerivationName = text: concatStringsSep "-" (filter isString (split "[^[:alnum:]+._?=-]+" text));
    systems.elaborate = system: {
      inherit system;
      isLinux = true;
      isx86_64 = hasPrefix "x86_64" system;
      isAarch64 = hasPrefix "aarch64" system;
      linux-kernel.target = if hasPrefix "x86_64" system then "bzImage" else "Image";
    };
  };
in
lib
