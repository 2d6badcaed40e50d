# Run in docker-compose.yml's `cluster-meeting`: a third of the slots to each node, and each node made known to the first.
set -eu

at() {
  node=$1
  shift
  REDISCLI_AUTH=$(cat /run/secrets/operator) redis-cli --tls --cacert /run/trust/ca.pem --user operator -h "$node" "$@"
}

address() {
  getent hosts "$1" | cut -d ' ' -f 1
}

if at node-1 cluster info | grep -q cluster_state:ok; then
  exit 0
fi
at node-1 cluster addslotsrange 0 5460
at node-2 cluster addslotsrange 5461 10922
at node-3 cluster addslotsrange 10923 16383
# Else two nodes that have not met yet could claim the same epoch.
at node-1 cluster set-config-epoch 1
at node-2 cluster set-config-epoch 2
at node-3 cluster set-config-epoch 3
at node-1 cluster meet "$(address node-2)" 6379
at node-1 cluster meet "$(address node-3)" 6379
for _ in $(seq 60); do
  if at node-1 cluster info | grep -q cluster_state:ok; then
    exit 0
  fi
  sleep 0.5
done
at node-1 cluster info >&2
exit 1
