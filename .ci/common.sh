# Sourced by .ci/run and .ci/test: steps with their time, and Debian packages that a bare machine lacks.

# step TITLE COMMAND...: runs it, says how long it took. `set -e` in the caller stops at the first failure.
step() {
  local title=$1 started=$SECONDS
  shift
  printf '\n==> %s\n' "$title"
  "$@"
  printf '==> %s: %d s\n' "$title" $((SECONDS - started))
}

fail() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

# install_packages NAME...: with apt-get, through sudo when we are not root.
install_packages() {
  local as_root=()
  command -v apt-get >/dev/null || fail "install these with your package manager, then run again: $*"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo: install these as root, then run again: $*"
    as_root=(sudo)
  fi
  echo "installing: $*"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
