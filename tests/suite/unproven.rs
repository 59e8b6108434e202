//! A run that did everything and did not prove it.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;

/// Refuses the rows that prove the way from PgBouncer to the leader.
const BREAK: &str =
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END';
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON heartbeat EXECUTE FUNCTION refuse();";
const MEND: &str = "DROP FUNCTION refuse CASCADE;";

/// The same command once more has nothing to change, and does not call the cluster well before every check has held.
pub fn unproven(cluster: &mut Cluster) -> Result<String> {
    let leader = cluster.leader()?;
    let sql = |text: &str| {
        let text = text.replace('\n', " ");
        cluster.on(&leader, &format!("cd / && runuser -u postgres -- psql -XAtqd deploy -c \"{text}\""))
    };
    // As if it had been killed behind its last step.
    cluster.on(
        &leader,
        "cd /var/lib/deploy/runs && rm -f \"$(ls | tail -n 1)\"/result \"$(ls | tail -n 1)\"/proven",
    )?;
    sql(BREAK)?;
    cluster.settled()?;
    let again = cluster.attempt(&["apply", "--yes"])?;
    again.ended(8)?;
    let told = ["has not ended well", "pgbouncer/write-and-read", "refused"];
    ensure!(told.iter().all(|word| again.all().contains(word)), "{}", again.all());
    sql(MEND)?;
    let mended = cluster.deploy(&["apply", "--yes", "--json"])?.json()?;
    ensure!(mended["changed"] == 0 && mended["checks"].is_array(), "not proven: {mended}");
    let quiet = cluster.deploy(&["apply", "--yes", "--json"])?.json()?;
    ensure!(quiet["checks"].is_null(), "proven twice: {quiet}");
    Ok("8 until the checks hold, with nothing to change".into())
}
