#!/bin/sh
# Node builds the page, Chromium tests it. Where they are missing, root installs Debian's or Ubuntu's packages; others are told what to do.
set -eu

has_browser() { command -v chromium || command -v google-chrome || command -v chromium-browser; }
has_node() {
  command -v npm && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'
}
missing() {
  has_browser > /dev/null 2>&1 || printf 'chromium '
  has_node > /dev/null 2>&1 || printf 'nodejs npm '
}

packages=$(missing)
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "installing $packages"
  apt-get update > /dev/null
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages > /dev/null
  packages=$(missing)
fi
if [ -n "$packages" ]; then
  echo "make: the page and its tests need Chromium, and Node 20.19, 22.12 or newer with npm. Missing or too old: $packages" >&2
  echo "make: on Debian and Ubuntu: sudo apt install $packages (where its Node is older: https://nodejs.org)" >&2
  exit 1
fi
