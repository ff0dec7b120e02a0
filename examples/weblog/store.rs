//! What is kept in Redis, by which commands, and how it is read again.
//!
//! | key | holds |
//! |---|---|
//! | `weblog:requests` | requests of each minute, a hash by its beginning in seconds since 1970 |
//! | `weblog:errors` | of these, how many the server could not answer |
//! | `weblog:views:MINUTE` | views of each page in that minute, a hash |
//! | `weblog:visitors:MINUTE` | different clients, a `HyperLogLog` |
//! | `weblog:visitors:MINUTE:PAGE` | different clients of a page, a `HyperLogLog` |
//! | `weblog:pages`, `weblog:referrers` | views of each, sorted sets |
//! | `weblog:sessions` | how many there were |
//! | `weblog:visits:CLIENT` | from when to when a client was there |
//! | `weblog:alerts` | abnormal traffic, a sorted set by time |
//! | `weblog:invalid` | lines that are none of a log, by reason |
//!
//! All commands of one sum are one transaction, so a sum is stored whole or not at all. Sums are added, and
//! may be added twice when their hits are replayed. Clients, visits and alerts are sets: what comes
//! again changes nothing.

use connectors::redis::Command;

use crate::alerts::Alert;
use crate::gather::{PageMinute, Seen};
use weblog::tally::SESSION_GAP_SECONDS;

/// Puts times into the visits of a client, which are intervals, and counts the sessions: whatever the
/// order, and if a time comes twice.
const VISIT: &str = "
local known = redis.call('GET', KEYS[1])
local visits = known and cjson.decode(known) or {}
local before, gap = #visits, tonumber(ARGV[1])
for at = 2, #ARGV do
  local from = tonumber(ARGV[at])
  local to, kept = from, {}
  for _, visit in ipairs(visits) do
    if visit[2] + gap <= from or visit[1] - gap >= to then
      kept[#kept + 1] = visit
    else
      from, to = math.min(from, visit[1]), math.max(to, visit[2])
    end
  end
  kept[#kept + 1] = {from, to}
  visits = kept
end
redis.call('SET', KEYS[1], cjson.encode(visits))
return redis.call('INCRBY', KEYS[2], #visits - before)
";

/// Adds what hits of a page in a minute came to.
pub(crate) fn page_minute(sum: &PageMinute) -> Vec<Command> {
    let PageMinute { minute, page, requests, errors, views, visitors, referrers } = sum;
    let add =
        |key: &str, member: &str, by: u64| Command::new("HINCRBY").arg(key).arg(member).arg(by);
    let rank =
        |key: &str, member: &str, by: u64| Command::new("ZINCRBY").arg(key).arg(by).arg(member);
    let mut commands = vec![add("weblog:requests", &minute.to_string(), *requests)];
    if *errors > 0 {
        commands.push(add("weblog:errors", &minute.to_string(), *errors));
    }
    if *views > 0 {
        let came = |key: String| {
            let command = Command::new("PFADD").arg(key);
            visitors.iter().fold(command, |command, it| command.arg(it.as_str()))
        };
        commands.push(add(&format!("weblog:views:{minute}"), page, *views));
        commands.push(rank("weblog:pages", page, *views));
        commands.push(came(format!("weblog:visitors:{minute}")));
        commands.push(came(format!("weblog:visitors:{minute}:{page}")));
        commands.extend(referrers.iter().map(|(from, by)| rank("weblog:referrers", from, *by)));
    }
    commands
}

/// Says when a client was there.
pub(crate) fn seen(seen: &Seen) -> Vec<Command> {
    let visits = format!("weblog:visits:{}", seen.client);
    let script = Command::new("EVAL").arg(VISIT).arg(2_u64).arg(visits).arg("weblog:sessions");
    let script = script.arg(SESSION_GAP_SECONDS);
    vec![seen.times.iter().fold(script, |command, at| command.arg(*at))]
}

/// Keeps an alert.
pub(crate) fn alert(alert: &Alert) -> Vec<Command> {
    vec![Command::new("ZADD").arg("weblog:alerts").arg(alert.time).arg(alert.to_json())]
}

/// Counts a line that is none of a log.
pub(crate) fn invalid(reason: &str) -> Vec<Command> {
    vec![Command::new("HINCRBY").arg("weblog:invalid").arg(reason).arg(1_u64)]
}
