//! What a submission or a rebalance would change: asked of the engine, answered as JSON.

use proto::nimbus::{PlanReply, PlanRequest, RebalanceRequest, plan_request};

use super::submit;
use crate::daemon::Handle;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::event::{Request, Verb};

/// Foresees what would be done.
pub(super) async fn plan(handle: &Handle, request: PlanRequest) -> Result<PlanReply, Refusal> {
    let request = match request.what {
        Some(plan_request::What::Submit(begin)) => submit::request(begin),
        Some(plan_request::What::Rebalance(rebalance)) => {
            let RebalanceRequest { name, workers, executors, .. } = rebalance;
            Request { id: String::new(), verb: Verb::Rebalance { name, workers, executors } }
        }
        None => {
            let (why, fix) = ("it is empty", "use the `squall` command of this version");
            return Err(Refusal::new(RefusalKind::Invalid, "failed to plan", why, fix));
        }
    };
    // Nothing is carried out, so nothing is to be remembered of it.
    let request = Request { id: String::new(), ..request };
    let forecast = handle.look(move |engine, now| engine.forecast(&request, now)).await??;
    let json = serde_json::to_string(&forecast).expect("it has text keys and whole numbers");
    Ok(PlanReply { json })
}
