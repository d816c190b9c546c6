//! The fleet in the forms that people and programs read; all of them are made from [`ClusterStatus`].
//!
//! [`ClusterStatus`]: crate::status::ClusterStatus

pub mod metrics;
pub mod page;
pub mod table;

use expiryd_api::Timestamp;

use crate::parameters::DAY;

/// How long until `date`, in the largest unit that says something.
fn time_left(date: Timestamp, now: Timestamp) -> String {
    let left = date.seconds_since(now);
    let (amount, sign) = (left.unsigned_abs(), if left < 0 { "-" } else { "" });
    let day = DAY.unsigned_abs();
    match amount {
        _ if amount >= 2 * day => format!("{sign}{} d", amount / day),
        7_200.. => format!("{sign}{} h", amount / 3_600),
        120.. => format!("{sign}{} min", amount / 60),
        _ => format!("{sign}{amount} s"),
    }
}
