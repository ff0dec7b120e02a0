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

use std::collections::BTreeSet;

use connectors::redis::Command;

use crate::alerts::Alert;
use crate::gather::{Minute, Page, Seen, Views};
use weblog::tally::SESSION_GAP_SECONDS;

/// Puts times into the visits of clients, which are intervals, and counts the sessions: whatever the
/// order, and if a time comes twice. Of each client there are as many times as stand before them.
const VISIT: &str = "
local gap, at, more = tonumber(ARGV[1]), 2, 0
for client = 2, #KEYS do
  local known = redis.call('GET', KEYS[client])
  local visits = known and cjson.decode(known) or {}
  local before, last = #visits, at + tonumber(ARGV[at])
  for time = at + 1, last do
    local from = tonumber(ARGV[time])
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
  redis.call('SET', KEYS[client], cjson.encode(visits))
  at, more = last + 1, more + #visits - before
end
return redis.call('INCRBY', KEYS[1], more)
";

/// Adds what was viewed.
pub(crate) fn views(views: &Views) -> Vec<Command> {
    views.minutes.iter().flat_map(|(minute, of)| of_minute(*minute, of)).collect()
}

fn of_minute(minute: u64, of: &Minute) -> Vec<Command> {
    let Minute { requests, errors, pages, referrers } = of;
    let add =
        |key: &str, member: &str, by: u64| Command::new("HINCRBY").arg(key).arg(member).arg(by);
    let rank =
        |key: &str, member: &str, by: u64| Command::new("ZINCRBY").arg(key).arg(by).arg(member);
    let came = |key: String, visitors: &BTreeSet<String>| {
        let command = Command::new("PFADD").arg(key);
        visitors.iter().fold(command, |command, it| command.arg(it.as_str()))
    };
    let mut commands = vec![add("weblog:requests", &minute.to_string(), *requests)];
    if *errors > 0 {
        commands.push(add("weblog:errors", &minute.to_string(), *errors));
    }
    for (page, Page { views, visitors }) in pages {
        commands.push(add(&format!("weblog:views:{minute}"), page, *views));
        commands.push(rank("weblog:pages", page, *views));
        commands.push(came(format!("weblog:visitors:{minute}:{page}"), visitors));
    }
    let all: BTreeSet<String> = pages.values().flat_map(|it| it.visitors.clone()).collect();
    if !all.is_empty() {
        commands.push(came(format!("weblog:visitors:{minute}"), &all));
    }
    commands.extend(referrers.iter().map(|(from, by)| rank("weblog:referrers", from, *by)));
    commands
}

/// Says when clients were there.
pub(crate) fn seen(seen: &Seen) -> Vec<Command> {
    let keys = 1 + seen.clients.len() as u64;
    let mut script = Command::new("EVAL").arg(VISIT).arg(keys).arg("weblog:sessions");
    for client in seen.clients.keys() {
        script = script.arg(format!("weblog:visits:{client}"));
    }
    script = script.arg(SESSION_GAP_SECONDS);
    for times in seen.clients.values() {
        script = times.iter().fold(script.arg(times.len() as u64), |it, time| it.arg(*time));
    }
    vec![script]
}

/// Keeps an alert.
pub(crate) fn alert(alert: &Alert) -> Vec<Command> {
    vec![Command::new("ZADD").arg("weblog:alerts").arg(alert.time).arg(alert.to_json())]
}

/// Counts a line that is none of a log.
pub(crate) fn invalid(reason: &str) -> Vec<Command> {
    vec![Command::new("HINCRBY").arg("weblog:invalid").arg(reason).arg(1_u64)]
}
