#!/bin/sh
# HEALTHCHECK of the sync image: the agent answers, and something can be uploaded. With R2_STATUS_PORT=0 nobody answers by
# the user's wish.
port=${R2_STATUS_PORT:-8190}
if [ "$port" = 0 ]; then exit 0; fi
case ${R2_STATUS_HOST:-} in
  '' | 0.0.0.0 | :: | localhost) host=127.0.0.1 ;;
  *:*) host="[$R2_STATUS_HOST]" ;;
  *) host=$R2_STATUS_HOST ;;
esac
# shellcheck disable=SC2016 # What looks like a variable is JavaScript's.
exec /opt/r2-sync/lib/node -e '
  fetch(process.argv[1]).then(
    (reply) => { console.log(`/healthz: ${reply.status}`); process.exitCode = reply.ok ? 0 : 1; },
    (error) => { console.log(String(error.cause ?? error)); process.exitCode = 1; },
  )' "http://$host:$port/healthz"
