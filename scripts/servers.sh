#!/usr/bin/env bash
# Finds or installs what the tests start: Kafka (Java and its jars), MariaDB, PostgreSQL, Prometheus, Alertmanager, and kcat, a
# client that is not ours.
# Safe to run again; silent when nothing is missing. No service is started and no cluster is made: the tests do that in
# temporary folders.
#
# A database that is given from outside is not installed: MYSQL_DSN, POSTGRES_DSN. Kafka is, also with KAFKA_BROKERS: tests
# run its tools, and start a broker with logins of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly pom=test/servers/kafka/pom.xml
readonly libs=.cache/kafka/libs
readonly stamp=.cache/kafka/libs.stamp
export DEBIAN_FRONTEND=noninteractive

say() { printf 'servers: %s\n' "$*"; }
fail() {
	printf 'servers: %s\n' "$*" >&2
	exit 1
}

# ---- what is there

have_java() {
	local version
	version=$(java -version 2>&1) || return 1
	[[ $version =~ version\ \"([0-9]+) ]] && ((BASH_REMATCH[1] >= 17))
}

have_jars() { [[ -d $libs && -f $stamp ]] && cmp -s "$pom" "$stamp"; }

have_mariadb() {
	PATH=$PATH:/usr/sbin:/usr/libexec command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null
}

have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

# ---- packages

missing=()

find_missing() {
	missing=()
	have_java || missing+=(openjdk-17-jre-headless)
	have_jars || command -v mvn >/dev/null || missing+=(maven)
	command -v kcat >/dev/null || missing+=(kcat)
	command -v prometheus >/dev/null || missing+=(prometheus)
	command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
	# The core packages hold the programs only: no service, no data folder.
	[[ -n ${MYSQL_DSN:-} ]] || have_mariadb || missing+=(mariadb-server-core mariadb-client-core)
	[[ -n ${POSTGRES_DSN:-} ]] || have_postgres || missing+=(postgresql)
}

as_root() { if ((EUID == 0)); then "$@"; else sudo -n env DEBIAN_FRONTEND=noninteractive "$@"; fi; }

apt_install() {
	as_root apt-get install -y -q --no-install-recommends "$@" </dev/null >"$log" 2>&1 ||
		fail "apt-get install $* failed:"$'\n'"$(tail -n 20 "$log")"
}

# Debian starts a service and makes a PostgreSQL cluster when it installs one. Both are forbidden for the time being.
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
forbid_services() {
	if [[ ! -e $policy ]]; then
		policy_is_ours=1
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi
}

allow_services() {
	if [[ -n ${clusters_changed:-} ]]; then as_root mv "$clusters.before-tests" "$clusters"; fi
	if [[ -n ${policy_is_ours:-} ]]; then as_root rm -f "$policy"; fi
	rm -f "$log"
}

install_postgres() {
	apt_install postgresql-common
	as_root cp -p "$clusters" "$clusters.before-tests"
	clusters_changed=1
	as_root sed -i -E 's/^#?create_main_cluster.*/create_main_cluster = false/' "$clusters"
	apt_install postgresql
}

install_packages() {
	if ! command -v apt-get >/dev/null; then
		fail "missing, and there is no apt-get to install them: ${missing[*]} (Debian's names)"
	fi
	if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
		fail "missing, and only root can install them: apt-get install ${missing[*]}"
	fi
	say "installing ${missing[*]}"
	log=$(mktemp)
	trap allow_services EXIT
	forbid_services
	as_root apt-get update -q </dev/null >"$log" 2>&1 || say "apt-get update failed, going on with the lists that are there"
	if [[ " ${missing[*]} " == *" openjdk-17-jre-headless "* ]] && ! apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
		missing=("${missing[@]/#openjdk-17-jre-headless/default-jre-headless}") # newer distributions have a newer one
	fi
	local package plain=()
	for package in "${missing[@]}"; do
		if [[ $package == postgresql ]]; then install_postgres; else plain+=("$package"); fi
	done
	((${#plain[@]} == 0)) || apt_install "${plain[@]}"
}

# ---- jars

fetch_jars() {
	say "fetching the Kafka jars into $libs"
	local new=.cache/kafka/libs.new log=.cache/kafka/mvn.log
	rm -rf "$new" "$libs" "$stamp"
	mvn -B -q -f "$pom" dependency:copy-dependencies -DoutputDirectory="$PWD/$new" </dev/null >"$log" 2>&1 ||
		fail "mvn failed:"$'\n'"$(tail -n 20 "$log")"
	mv "$new" "$libs"
	cp "$pom" "$stamp"
}

main() {
	mkdir -p .cache/kafka
	exec 8>.cache/servers.lock # one at a time: two test runs may share a checkout
	flock 8
	find_missing
	if ((${#missing[@]} > 0)); then
		install_packages
		find_missing
		((${#missing[@]} == 0)) || fail "still missing after the installation: ${missing[*]}"
	fi
	have_jars || fetch_jars
}

main
