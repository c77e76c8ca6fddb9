# fish completion for vmcred
set -l commands init keygen generate list get set check readers fix prune machine user group activate serve units compose run status inspect sops age

complete -c vmcred -f
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -l help -d "print the commands"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -l version -d "print the version"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a init -d "start a repository"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a keygen -d "generate an age identity for a machine or a person"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a generate -d "generate the declared secrets that are missing"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a get -d "decrypt one secret to standard output"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a list -d "list the declared secrets"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a set -d "store a value, encrypted"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a check -d "check that all secrets exist and have the declared recipients"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a readers -d "show who can read each secret, and why"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a fix -d "re-encrypt secrets to their declared recipients"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a prune -d "remove what is no longer declared"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a machine -d "add or remove a machine's key"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a user -d "add or remove a person's public key"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a group -d "manage groups of users and machines"
complete -c vmcred -n "__fish_seen_subcommand_from machine user group" -a "add remove list"
complete -c vmcred -n "__fish_seen_subcommand_from init machine user" -l age-key -x
complete -c vmcred -n "__fish_seen_subcommand_from user" -l pgp-key -x
complete -c vmcred -n "__fish_seen_subcommand_from machine user" -l group -x
complete -c vmcred -n "__fish_seen_subcommand_from machine user" -l force
complete -c vmcred -n "__fish_seen_subcommand_from init group readers" -l user -x
complete -c vmcred -n "__fish_seen_subcommand_from group readers" -l machine -x
complete -c vmcred -n "__fish_seen_subcommand_from readers" -l history -d "also former readers"
complete -c vmcred -n "__fish_seen_subcommand_from set" -l file -rF
complete -c vmcred -n "__fish_seen_subcommand_from set" -l allow-empty
complete -c vmcred -n "__fish_seen_subcommand_from prune" -l yes
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a activate -d "decrypt a machine's secrets to /run/secrets"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a serve -d "serve LoadCredential= of the VMs' units from the store"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a units -d "write the LoadCredential= drop-ins of the VMs' units"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a compose -d "show a VM's OEM strings: names, sizes, limits, never values"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a run -d "start a VM's hypervisor with its credentials"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a status -d "show which VMs run with old, missing or current secrets"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a inspect -d "show where a VM's secrets are, and check the guest's proofs"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a sops -d "edit SOPS documents with the commands and flags of sops"
complete -c vmcred -n "not __fish_seen_subcommand_from $commands" -a age -d "encrypt or decrypt a file, with the command line of age"

complete -c vmcred -n "__fish_seen_subcommand_from $commands" -l config -rF -d "declaration"
complete -c vmcred -n "__fish_seen_subcommand_from init keygen generate list check readers fix prune machine user group activate compose status inspect" -l json -d "print JSON"
complete -c vmcred -n "__fish_seen_subcommand_from $commands" -s v -l verbose -d "report each step"
complete -c vmcred -n "__fish_seen_subcommand_from $commands" -s h -l help -d "print this help"
complete -c vmcred -n "__fish_seen_subcommand_from keygen units" -l output -rF
complete -c vmcred -n "__fish_seen_subcommand_from keygen activate serve units inspect" -l machine -x
complete -c vmcred -n "__fish_seen_subcommand_from keygen" -l force
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l generator -x
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l regenerate
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l all
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l overdue
complete -c vmcred -n "__fish_seen_subcommand_from generate fix prune machine user group activate" -l dry-run
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l prompt -x
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l no-sandbox
complete -c vmcred -n "__fish_seen_subcommand_from generate" -l script-timeout -x
complete -c vmcred -n "__fish_seen_subcommand_from generate get set check fix prune machine user group activate serve inspect" -l identity -rF
complete -c vmcred -n "__fish_seen_subcommand_from activate status inspect" -l root -rF
complete -c vmcred -n "__fish_seen_subcommand_from activate" -l needed-for -xa "services users activation partitioning"
complete -c vmcred -n "__fish_seen_subcommand_from check" -l decrypt -d "also decrypt each secret that the identity opens"
complete -c vmcred -n "__fish_seen_subcommand_from activate" -l restart
complete -c vmcred -n "__fish_seen_subcommand_from activate" -l restart-pending
complete -c vmcred -n "__fish_seen_subcommand_from activate" -l check-mode -xa "manifest sopsfile off"
complete -c vmcred -n "__fish_seen_subcommand_from activate" -l ignore-passwd
complete -c vmcred -n "__fish_seen_subcommand_from serve" -l idle-timeout -x
complete -c vmcred -n "__fish_seen_subcommand_from units" -l socket -rF
complete -c vmcred -n "__fish_seen_subcommand_from inspect" -l proof -rF
complete -c vmcred -n "__fish_seen_subcommand_from compose run" -l credentials -rF
complete -c vmcred -n "__fish_seen_subcommand_from run" -l expose -xa "argv log"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l exec -d "become the hypervisor"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l ready-target -x -d "the guest is ready when it reaches this target"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l notify -d "relay the guest's messages"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l stop-timeout -x
complete -c vmcred -n "__fish_seen_subcommand_from run" -l supervise -d "stay as its parent"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l transport -xa "smbios fw_cfg"
complete -c vmcred -n "__fish_seen_subcommand_from run" -l vsock-socket -rF
complete -c vmcred -n "__fish_seen_subcommand_from age" -s e -l encrypt
complete -c vmcred -n "__fish_seen_subcommand_from age" -s d -l decrypt
complete -c vmcred -n "__fish_seen_subcommand_from age" -s r -l recipient -x
complete -c vmcred -n "__fish_seen_subcommand_from age" -s R -l recipients-file -rF
complete -c vmcred -n "__fish_seen_subcommand_from age" -s i -l identity -rF
complete -c vmcred -n "__fish_seen_subcommand_from age" -s j -x -d "plugin"
complete -c vmcred -n "__fish_seen_subcommand_from age" -s p -l passphrase
complete -c vmcred -n "__fish_seen_subcommand_from age" -s a -l armor
complete -c vmcred -n "__fish_seen_subcommand_from age" -s o -l output -rF
complete -c vmcred -n "__fish_seen_subcommand_from age" -l version -d "print the version"
complete -c vmcred -n "__fish_seen_subcommand_from age" -F
complete -c vmcred -n "__fish_seen_subcommand_from sops" -F -a "(vmcred sops --help 2>/dev/null | string match -rg '^  ([a-z-]+) ')"
complete -c vmcred -n "__fish_seen_subcommand_from sops" -a "(vmcred (commandline -opc)[2..3] --help 2>/dev/null | string match -rg '^  (--[a-z-]+)')"
