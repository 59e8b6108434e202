//! `deploy secrets show`: one secret, asked for by name, alone on standard output.

use anyhow::{Result, anyhow};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::Global;
use super::super::project::fetch;
use super::Opened;
use crate::cli::Target;
use crate::ui::{self, Hint};

pub async fn run(global: &Global, target: &Target, name: &str) -> Result<()> {
    let opened = Opened::new(global, &target.inventory)?;
    opened.require_known(name)?;
    let value = match (opened.outside.get(name), opened.store.secret(name)) {
        (Some(outside), _) => fetch(name, outside, &opened.files.dir).await?,
        (None, Some(value)) => value.clone(),
        (None, None) => {
            let hint = "the first `deploy apply` makes it; `deploy secrets set` gives it a value of your own";
            return Err(anyhow!("the secret `{name}` has no value yet").context(Hint(hint.into())));
        }
    };
    if global.json {
        ui::json(&json!({ "name": name, "value": value.expose() }));
    } else {
        ui::data(&Zeroizing::new(format!("{}\n", value.expose())));
    }
    Ok(())
}
