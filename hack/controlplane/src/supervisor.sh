# Runs the control plane for as long as its standard input is open. The other end of that pipe is held by the process
# that wants the control plane; however that process ends, kill -9 included, the pipe closes and everything here stops.
# Lines read from it: "ready", once, when the API server is; "restart", at any time after that, for a new API server.
#
# Works in the run directory. For each program: NAME.log, NAME.pid, and NAME.exit (its status) once it has ended; no
# such pid or exit file may be left of an earlier run.
# Arguments: etcd, kube-apiserver, kube-controller-manager (paths), then the client, peer and API ports.
set -u
etcd=$1 apiserver=$2 controller_manager=$3 etcd_port=$4 peer_port=$5 api_port=$6

# By default, the API server spends more than a quarter of its CPU time on garbage collection. This needs more memory, and less CPU time.
export GOGC=400

# The end of the holder is the only reason to stop, apart from a TERM of this script itself.
trap '' HUP INT
trap 'stop_all; exit 0' TERM

run() {
    name=$1
    shift
    # Those of the one before. The pid first: a reader of a new number may take an exit file for the new program's.
    rm -f "$name.pid"
    rm -f "$name.exit"
    (
        "$@" >"$name.log" 2>&1 &
        echo $! >"$name.pid"
        wait $!
        echo $? >"$name.exit"
    ) &
    # Without its number the program could not be stopped.
    until [ -s "$name.pid" ]; do sleep 0.01; done
}

# Sends a program this signal, and KILL if it has not ended five seconds later.
stop() {
    tries=0
    while [ -e "$1.pid" ] && [ ! -e "$1.exit" ]; do
        case $tries in
        0) kill "-$2" "$(cat "$1.pid")" ;;
        100) kill -KILL "$(cat "$1.pid")" ;;
        200) echo "$1 does not end" >&2; exit 1 ;;
        esac
        tries=$((tries + 1))
        sleep 0.05
    done
}

# etcd last: an API server that has lost its etcd takes more than a minute to end.
stop_all() {
    stop kube-controller-manager TERM
    stop kube-apiserver TERM
    stop etcd TERM
}

# No fsync: this data need not survive a crash of the machine, and tests write much.
run etcd "$etcd" \
    --data-dir=etcd \
    --listen-client-urls="http://127.0.0.1:$etcd_port" \
    --advertise-client-urls="http://127.0.0.1:$etcd_port" \
    --listen-peer-urls="http://127.0.0.1:$peer_port" \
    --unsafe-no-fsync \
    --log-level=warn

# The certificate is there already. Its key serves for the tokens of ServiceAccounts too; they are verified with the certificate,
# as the server reads no public key from a private one of this form. No throttling: priority and fairness are off and
# zero means no limit of requests in flight. No endpoint is reconciled: it must not be a loopback address. The audit log
# is one file: at the default of 100 MB a test that looks for refusals would lose sight of the first ones.
run_apiserver() {
    run kube-apiserver "$apiserver" \
        --etcd-servers="http://127.0.0.1:$etcd_port" \
        --cert-dir=certs \
        --bind-address=127.0.0.1 \
        --advertise-address=127.0.0.1 \
        --endpoint-reconciler-type=none \
        --secure-port="$api_port" \
        --service-cluster-ip-range=10.0.0.0/24 \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file=certs/apiserver.crt \
        --service-account-signing-key-file=certs/apiserver.key \
        --token-auth-file=tokens.csv \
        --authorization-mode=RBAC \
        --audit-policy-file=audit-policy.yaml \
        --audit-log-path=audit.log \
        --audit-log-maxsize=100000 \
        --enable-priority-and-fairness=false \
        --max-requests-inflight=0 \
        --max-mutating-requests-inflight=0
}
run_apiserver

# It gives up when the API server is not healthy after ten seconds, so it starts only when that one is ready. These
# controllers finalise deleted namespaces, collect what its owner has left behind, make the default ServiceAccounts and
# fill the roles view, edit and admin.
run_controller_manager() {
    run kube-controller-manager "$controller_manager" \
        --kubeconfig=kubeconfig \
        --controllers=namespace-controller,garbage-collector-controller,clusterrole-aggregation-controller \
        --controllers=serviceaccount-controller,serviceaccount-token-controller \
        --service-account-private-key-file=certs/apiserver.key \
        --leader-elect=false \
        --secure-port=0 \
        --kube-api-qps=200 \
        --kube-api-burst=400
}

# To restart, KILL: an orderly end waits a minute for the watches of its clients.
while read -r word; do
    case $word in
    ready) run_controller_manager ;;
    restart) stop kube-apiserver KILL; run_apiserver ;;
    esac
done
stop_all
