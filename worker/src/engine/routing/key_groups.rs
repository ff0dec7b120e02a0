//! Key groups: which task has which keys.
//!
//! A fields grouping hashes a key to one of a fixed number of groups; an explicit table says which
//! task has which group. Rescaling gives groups to other tasks and never hashes again, so the keys
//! of a group that stays are not touched, and state moves group by group.

/// The least number of groups: many small numbers of tasks divide it.
const GROUPS_UNIT: u32 = 720;

/// Groups for each task that there should be at least, so that no task has twice what another has.
const GROUPS_PER_TASK: u32 = 8;

/// Which task has which group of keys.
///
/// ```
/// use worker::engine::routing::KeyGroups;
///
/// let groups = KeyGroups::even(KeyGroups::count_for(4), 4);
/// let hash = 0x9e37_79b9_7f4a_7c15;
/// assert_eq!(groups.task(hash), groups.task(hash));
/// assert!(groups.task(hash) < 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGroups {
    /// Ordinal of the task of each group.
    group_to_task: Vec<u32>,
    tasks: u32,
}

impl KeyGroups {
    /// How many groups a component with this many tasks gets when it is submitted: 720, or the
    /// next multiple of 720 that is at least eight for each task.
    #[must_use]
    pub const fn count_for(tasks: u32) -> u32 {
        let units = tasks.saturating_mul(GROUPS_PER_TASK).div_ceil(GROUPS_UNIT);
        let units_max = u32::MAX / GROUPS_UNIT;
        GROUPS_UNIT
            * if units == 0 {
                1
            } else if units > units_max {
                units_max
            } else {
                units
            }
    }

    /// Deals `groups` out to `tasks`, each a run of neighbours, the runs as even as can be.
    ///
    /// # Panics
    ///
    /// If there are no groups or no tasks.
    #[must_use]
    pub fn even(groups: u32, tasks: u32) -> Self {
        assert!(groups > 0, "keys need groups");
        assert!(tasks > 0, "groups need tasks");
        let task = |group| (u64::from(group) * u64::from(tasks) / u64::from(groups)) as u32;
        Self { group_to_task: (0..groups).map(task).collect(), tasks }
    }

    /// Number of groups.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.group_to_task.len() as u32
    }

    /// Number of tasks that the groups are dealt out to.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.tasks
    }

    /// The task of each group.
    #[must_use]
    pub fn table(&self) -> &[u32] {
        &self.group_to_task
    }

    /// The group of the key with this hash.
    ///
    /// The upper half of a multiplication: as even as the remainder, and ten times cheaper. It goes
    /// by the high bits, so the hash must be good in all of them, as XXH3 is.
    #[inline]
    #[must_use]
    pub fn group(&self, hash: u64) -> u32 {
        ((u128::from(hash) * self.group_to_task.len() as u128) >> 64) as u32
    }

    /// Ordinal of the task that has the key with this hash.
    #[inline]
    #[must_use]
    pub fn task(&self, hash: u64) -> u32 {
        self.group_to_task[self.group(hash) as usize]
    }

    /// The same groups on another number of tasks: no two tasks differ by more than one group, and
    /// no table that is so even moves fewer groups.
    ///
    /// With `q` groups a task and `r` left over, a task that stays keeps at most `q`, or `q + 1`
    /// for `r` of them. What is kept is the most if those `r` are taken from tasks that have more
    /// than `q` now; every group that has to go then goes to a task that has too few.
    ///
    /// # Panics
    ///
    /// If there are no tasks.
    #[must_use]
    pub fn rescaled(&self, tasks: u32) -> Self {
        assert!(tasks > 0, "groups need tasks");
        let (each, left_over) = (self.count() / tasks, self.count() % tasks);
        let mut had = vec![0_u32; tasks as usize];
        for &task in self.group_to_task.iter().filter(|&&task| task < tasks) {
            had[task as usize] += 1;
        }
        let mut by_had: Vec<u32> = (0..tasks).collect();
        by_had.sort_by_key(|&task| std::cmp::Reverse(had[task as usize]));
        let mut room = vec![each; tasks as usize];
        by_had.iter().take(left_over as usize).for_each(|&task| room[task as usize] += 1);

        let mut group_to_task = self.group_to_task.clone();
        let mut moving = Vec::new();
        for (group, &task) in self.group_to_task.iter().enumerate() {
            match room.get_mut(task as usize) {
                Some(room) if *room > 0 => *room -= 1,
                _ => moving.push(group),
            }
        }
        let places = (0..tasks).flat_map(|task| (0..room[task as usize]).map(move |_| task));
        for (group, task) in moving.into_iter().zip(places) {
            group_to_task[group] = task;
        }
        Self { group_to_task, tasks }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyGroups;
    use crate::engine::acking::splitmix64;
    use proptest::prelude::proptest;

    fn sizes(groups: &KeyGroups) -> Vec<u32> {
        let mut sizes = vec![0; groups.tasks() as usize];
        groups.table().iter().for_each(|&task| sizes[task as usize] += 1);
        sizes
    }

    fn assert_even(groups: &KeyGroups) {
        let sizes = sizes(groups);
        let (min, max) = (sizes.iter().min(), sizes.iter().max());
        let spread = max.expect("a task") - min.expect("a task");
        assert!(spread <= 1, "one task has {spread} groups more than another: {sizes:?}");
    }

    #[test]
    fn the_number_of_groups_is_a_multiple_of_720_and_enough_for_the_tasks() {
        let expected = [(0, 720), (1, 720), (90, 720), (91, 1_440), (1_000, 8_640)];
        for (tasks, groups) in expected {
            assert_eq!(KeyGroups::count_for(tasks), groups, "{tasks} tasks");
        }
        assert_eq!(KeyGroups::count_for(u32::MAX) % 720, 0, "no overflow");
    }

    #[test]
    fn keys_spread_over_groups_evenly() {
        let groups = KeyGroups::even(720, 8);
        let (mut counter, mut keys) = (1, vec![0_u32; 720]);
        (0..720_000).for_each(|_| keys[groups.group(splitmix64(&mut counter)) as usize] += 1);
        // 1 000 keys a group, standard deviation 32: none of 720 is six of those away.
        assert!(keys.iter().all(|&keys| (800..1_200).contains(&keys)), "uneven: {keys:?}");
    }

    #[test]
    fn the_group_of_a_hash_never_changes() {
        // State is stored by group: these must be the same in every version.
        let groups = KeyGroups::even(720, 720);
        let expected = [(0, 0), (1 << 63, 360), (u64::MAX, 719), (0x9e37_79b9_7f4a_7c15, 444)];
        for (hash, group) in expected {
            assert_eq!(groups.group(hash), group, "hash {hash:#x}");
        }
    }

    proptest! {
        #[test]
        fn groups_are_dealt_out_evenly(groups in 1_u32..3_000, tasks in 1_u32..400) {
            let groups = KeyGroups::even(groups, tasks);
            assert_even(&groups);
            assert!(groups.table().is_sorted(), "each task has neighbours");
        }

        #[test]
        fn rescaling_moves_the_fewest_groups(
            groups in 1_u32..2_000,
            steps in proptest::collection::vec(1_u32..60, 1..6),
        ) {
            let mut before = KeyGroups::even(groups, steps[0]);
            for &tasks in &steps {
                let after = before.rescaled(tasks);
                assert_even(&after);
                assert_eq!((after.count(), after.tasks()), (groups, tasks), "same groups");
                let moved = before.table().iter().zip(after.table()).filter(|(a, b)| a != b).count();
                // Each task can keep `each`; `left_over` of them can keep one more.
                let (each, left_over) = (groups / tasks, (groups % tasks) as usize);
                let stay: Vec<u32> = sizes(&before).into_iter().take(tasks as usize).collect();
                let over = stay.iter().filter(|&&size| size > each).count().min(left_over);
                let kept = stay.iter().map(|&size| size.min(each)).sum::<u32>() as usize + over;
                assert_eq!(moved, groups as usize - kept, "{} to {tasks} tasks", before.tasks());
                before = after;
            }
        }

        #[test]
        fn a_key_stays_with_its_task_unless_its_group_moves(hash: u64, tasks in 1_u32..50) {
            let before = KeyGroups::even(720, 10);
            let after = before.rescaled(tasks);
            let group = before.group(hash);
            assert_eq!(after.group(hash), group, "rescaling never hashes again");
            assert_eq!(after.task(hash), after.table()[group as usize], "the table decides");
        }
    }
}
