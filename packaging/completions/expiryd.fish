# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_expiryd_global_optspecs
    string join \n h/help V/version
end

function __fish_expiryd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_expiryd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_expiryd_using_subcommand
    set -l cmd (__fish_expiryd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c expiryd -n "__fish_expiryd_needs_command" -s h -l help -d 'Print help'
complete -c expiryd -n "__fish_expiryd_needs_command" -s V -l version -d 'Print version'
complete -c expiryd -n "__fish_expiryd_needs_command" -f -a "run" -d 'Watch the certificates and serve the report until told to stop'
complete -c expiryd -n "__fish_expiryd_needs_command" -f -a "check" -d 'Scan once and print the report'
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l config -d 'Configuration file [default: /etc/expiryd/expiryd.toml if it is there]' -r -F
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l host-root -d 'Directory that stands for the node\'s / [default: /.bottlerocket/rootfs if it is there, else /]' -r -F
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l role -d 'What this machine is, instead of what is found' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l etcd-topology -d 'Where its etcd runs, instead of what is found' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l source -d 'One more source, of kind file, directory, glob or kubeconfig; can be repeated' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l listen -d 'Address of the HTTP endpoint; can be repeated [default: 127.0.0.1:9797]' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l tls -d 'Encrypt what other machines reach with this machine\'s own server.crt, server.key and ca.crt' -r -f -a "etcd\t'The certificate, key and CA of the etcd server on this machine'"
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l served -d 'Look at what the machine\'s servers show [default: true]' -r -f -a "true\t''
false\t''"
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l log-format -d 'How log lines are written: auto, text or json' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l log-level -d 'Which log lines are written: error, warn, info or debug' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -l allow-plaintext -d 'Serve addresses that other machines reach although nothing is encrypted'
complete -c expiryd -n "__fish_expiryd_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -s o -l output -d 'How to print it: a table, a table with more columns, the report as in GET /expiry, or metrics' -r -f -a "table\t''
wide\t''
json\t''
yaml\t''
prom\t''"
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l output-file -d 'Put it into this file instead, as a whole, as Prometheus\'s textfile collector needs it' -r -F
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l warning -d 'Exit 1 when less than this is left [default: 30d, or --critical if that is more]' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l critical -d 'Exit 2 when less than this is left' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l at -d 'Judge as if it were this time, such as 2027-03-09T09:00:00Z' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l color -d 'Colour near ends in the table' -r -f -a "auto\t''
always\t''
never\t''"
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l config -d 'Configuration file [default: /etc/expiryd/expiryd.toml if it is there]' -r -F
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l host-root -d 'Directory that stands for the node\'s / [default: /.bottlerocket/rootfs if it is there, else /]' -r -F
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l role -d 'What this machine is, instead of what is found' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l etcd-topology -d 'Where its etcd runs, instead of what is found' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l source -d 'One more source, of kind file, directory, glob or kubeconfig; can be repeated' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l listen -d 'Address of the HTTP endpoint; can be repeated [default: 127.0.0.1:9797]' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l tls -d 'Encrypt what other machines reach with this machine\'s own server.crt, server.key and ca.crt' -r -f -a "etcd\t'The certificate, key and CA of the etcd server on this machine'"
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l served -d 'Look at what the machine\'s servers show [default: true]' -r -f -a "true\t''
false\t''"
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l log-format -d 'How log lines are written: auto, text or json' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l log-level -d 'Which log lines are written: error, warn, info or debug' -r
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -l allow-plaintext -d 'Serve addresses that other machines reach although nothing is encrypted'
complete -c expiryd -n "__fish_expiryd_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
