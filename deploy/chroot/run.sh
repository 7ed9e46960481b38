#!/bin/sh
# Runs a program in a folder that it takes for the whole system: there is nothing
# in it but the program and run/, which it shares with the web server. It is
# nobody, and can write to run/ only.
#
#   run.sh /srv/jail /path/to/app
#   scgi_pass unix:/srv/jail/run/app.sock;
#
# To be started as root, by whatever keeps it running; the process is replaced,
# so signals reach the program. The program has to be static (CGO_ENABLED=0 go
# build). It has no time zones, certificates and resolv.conf: copy in what it
# needs.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 ROOT PROGRAM" >&2; exit 2; }
root=$1 program=$2
user=nobody
group=www-data # the web server's: the socket is for it alone

PATH=$PATH:/usr/sbin:/sbin
install -d -m 0755 "$root"
install -d -m 0750 -o "$user" -g "$group" "$root/run"
install -m 0555 "$program" "$root/app"
# By number: in there nobody has a name.
uid=$(id -u "$user")
gid=$(getent group "$group" | cut -d: -f3)
exec env -i "$(command -v chroot)" --userspec="$uid:$gid" --groups="$gid" \
	"$root" /app -scgi unix:/run/app.sock
