//! Which agent acted, decided over time: timelines, occupancy, rules, evidence.
