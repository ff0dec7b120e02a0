//! Members of a group: partitions come and go as others join and leave, and nothing is lost on the way.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use connectors::kafka::{Brokers, KafkaIn, KafkaRecord};
use tests::{Kafka, Process, alone, until};
use topology_api::testing::SpoutDriver;
use topology_api::{Replays, TopologyBuilder};

use super::kcat_to;

/// How often the members look for partitions, and a bit.
const LOOK: Duration = Duration::from_secs(30);

/// What the members read and kcat wrote.
struct Group {
    kafka: Kafka,
    partitions: u32,
    members: Vec<SpoutDriver<KafkaRecord>>,
    /// By partition: which member read its last record.
    owners: Vec<Option<usize>>,
    written: BTreeSet<(u32, u64)>,
    read: BTreeSet<(u32, u64)>,
}

impl Group {
    fn of(partitions: u32) -> Self {
        let kafka = Kafka::start();
        kafka.topics(&[("in", partitions)]);
        let owners = vec![None; partitions as usize];
        let (written, read) = (BTreeSet::new(), BTreeSet::new());
        Self { kafka, partitions, members: Vec::new(), owners, written, read }
    }

    /// A task of a topology of this name becomes a member.
    fn join(&mut self, topology: &str) {
        let mut t = TopologyBuilder::new(topology);
        let input = KafkaIn::new(Brokers::new(self.kafka.address()), "shared")
            .topics(["in"])
            .look_every(LOOK)
            .member();
        let (_records, _dead) = input.declare(&mut t, "in", Replays::default()).unwrap();
        self.members.push(SpoutDriver::of(&t.build().unwrap(), "in").unwrap());
    }

    /// Writes a record to each partition, and lets all members read what there is for them.
    fn go_on(&mut self) {
        let number = self.written.len() as u64;
        for partition in 0..self.partitions {
            kcat_to(&self.kafka, "in", &partition.to_string(), &format!("{number}\n"));
            self.written.insert((partition, number));
        }
        for (at, member) in self.members.iter_mut().enumerate() {
            member.advance(Duration::from_secs(1));
            for record in member.run().unwrap() {
                self.owners[record.partition as usize] = Some(at);
                self.read.insert((record.partition, record.text().unwrap().parse().unwrap()));
            }
            member.ack_all();
        }
    }

    /// Goes on until each of these members reads so many partitions.
    fn until_each_reads(&mut self, what: &str, shares: &[usize]) {
        until(what, || {
            self.go_on();
            let share = |at| self.owners.iter().filter(|owner| **owner == Some(at)).count();
            shares.iter().enumerate().all(|(at, wanted)| share(at) == *wanted)
        });
    }
}

#[test]
fn partitions_are_shared_with_whoever_joins_and_come_back_when_they_leave() {
    let _alone = alone();
    let mut group = Group::of(4);
    group.join("green");
    group.until_each_reads("the only member reads all", &[4]);
    group.join("blue");
    group.until_each_reads("two members share", &[2, 2]);

    let mut command = Command::new("kcat");
    let address = group.kafka.address();
    command.args(["-b", &address, "-q", "-u", "-G", "shared", "-f", "%p %s\n", "in"]);
    let log = group.kafka.certificate().with_file_name("kcat.log");
    let mut other = Process::start(command, &log);
    until("a member that others wrote has its share", || {
        group.go_on();
        other.log().lines().count() > 1
    });
    other.terminate();
    group.until_each_reads("what the other had is shared anew", &[2, 2]);

    group.members[1].close();
    group.until_each_reads("one whose session is over loses all", &[4, 0]);

    group.partitions = 6;
    group.kafka.topics(&[("in", 6)]);
    group.owners.resize(6, None);
    group.members[0].advance(LOOK);
    group.until_each_reads("new partitions are shared out too", &[6, 0]);

    let read = other.log();
    let read = read.lines().filter_map(|line| {
        let (partition, number) = line.split_once(' ')?;
        Some((partition.parse().ok()?, number.parse().ok()?))
    });
    group.read.extend(read);
    until("nothing was lost", || {
        let lost: Vec<_> = group.written.difference(&group.read).copied().collect();
        if !lost.is_empty() {
            group.go_on();
        }
        lost.iter().all(|(_, number)| *number + 6 >= group.written.len() as u64)
    });
    group.members[0].close();
}
