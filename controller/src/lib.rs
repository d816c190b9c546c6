//! expiryd-controller: reads every agent, carries their dates to the Machines of Cluster API, and has etcd
//! rolled first and each machine once, by the controllers that people have already.
//!
//! The way of the data, each module using only those before it: [`parameters`] and [`memory`], the [`facts`]
//! of one cluster, what to [`decide`].

pub mod parameters;
pub mod memory;
pub mod facts;
pub mod decide;
pub mod schedule;
pub mod unheard;
pub mod status;
pub mod condition;
pub mod objects;
pub mod clock;
pub mod observe;
pub mod act;
pub mod tell;
pub mod fleet;
pub mod render;
pub mod review;
pub mod serve;
pub mod leader;
pub mod work;
pub mod run;
pub mod cli;
