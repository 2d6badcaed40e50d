# Sourced by the other scripts: steps with their time, and what a bare machine lacks.

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

# apt_get ARGUMENT...: through sudo when we are not root.
apt_get() {
  local as_root=()
  command -v apt-get >/dev/null || fail "no apt-get here to do this with, so do it with your package manager: $*"
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo: do this as root, then run again: apt-get $*"
    as_root=(sudo)
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"
}

# install_packages NAME...
install_packages() {
  echo "installing: $*"
  apt_get update
  apt_get install -y --no-install-recommends "$@" >/dev/null
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

# venv NAME [OPTION...]: target/NAME-venv with what tests/NAME/requirements.txt lists; options go to pip. The stamp is written
# last: an interrupted installation is done again from the start.
venv() {
  local venv=target/$1-venv requirements=tests/$1/requirements.txt
  local stamp=$venv/installed-requirements.txt
  shift
  cmp -s "$requirements" "$stamp" && "$venv/bin/python" -c '' 2>/dev/null && return
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv python3-pip
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary "$@" -r "$requirements" ||
    fail "the versions in $requirements cannot be installed (reason above). The tests state what exactly these
versions do: they do not run with others. Python 3.11 or newer is needed; here is $(python3 --version)."
  cp "$requirements" "$stamp"
}
