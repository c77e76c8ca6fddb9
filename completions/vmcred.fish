# fish completion for vmcred, which prints the candidates itself

function __vmcred_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (vmcred --complete $words[2..] 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :directories
                __fish_complete_directories (commandline -ct)
            case '*'
                echo $line
        end
    end
end

complete -c vmcred -f -a '(__vmcred_complete)'
