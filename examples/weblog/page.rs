//! A page that shows the web log live: charts, top lists, and what is not as usual.
//!
//! `weblog_page --listen=127.0.0.1:8090 --redis=127.0.0.1:6379`
//!
//! Everything is read from Redis (`store.rs` says what is there), once a second for each viewer.

#![expect(clippy::print_stdout, reason = "it says where to look")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use redis::aio::ConnectionManager;
use serde_json::{Value, json};
use topology_api::Args;

/// How many minutes are drawn.
const MINUTES: usize = 240;

/// How many lines a list has.
const TOP: isize = 10;

/// How many alerts are shown.
const ALERTS: isize = 20;

type Ranked = Vec<(String, f64)>;

/// All that the page shows.
async fn figures(redis: &mut ConnectionManager) -> redis::RedisResult<Value> {
    type Read = (
        BTreeMap<u64, u64>,
        BTreeMap<u64, u64>,
        Ranked,
        Ranked,
        Option<u64>,
        Vec<u64>,
        Vec<String>,
    );
    let (views, errors, pages, referrers, sessions, invalid, alerts): Read = redis::pipe()
        .hgetall("weblog:requests")
        .hgetall("weblog:errors")
        .zrevrange_withscores("weblog:pages", 0, TOP - 1)
        .zrevrange_withscores("weblog:referrers", 0, TOP - 1)
        .get("weblog:sessions")
        .hvals("weblog:invalid")
        .zrevrange("weblog:alerts", 0, ALERTS - 1)
        .query_async(redis)
        .await?;
    let shown: Vec<(&u64, &u64)> = views.iter().skip(views.len().saturating_sub(MINUTES)).collect();
    let mut counts = redis::pipe();
    for (minute, _) in &shown {
        counts.pfcount(format!("weblog:visitors:{minute}"));
    }
    let visitors: Vec<u64> = counts.query_async(redis).await?;
    let minutes: Vec<Value> = shown
        .into_iter()
        .zip(visitors)
        .map(|((minute, views), visitors)| {
            let errors = errors.get(minute).copied().unwrap_or(0);
            let at_ms = minute * 1_000;
            json!({"at_ms": at_ms, "views": views, "errors": errors, "visitors": visitors})
        })
        .collect();
    let alerts: Vec<Value> =
        alerts.iter().filter_map(|alert| serde_json::from_str(alert).ok()).collect();
    Ok(json!({
        "minutes": minutes,
        "pages": pages,
        "referrers": referrers,
        "sessions": sessions.unwrap_or(0),
        "invalid": invalid.iter().sum::<u64>(),
        "alerts": alerts,
    }))
}

async fn serve_figures(State(mut redis): State<ConnectionManager>) -> Response {
    match figures(&mut redis).await {
        Ok(figures) => Json(figures).into_response(),
        Err(error) => {
            (StatusCode::BAD_GATEWAY, format!("Redis does not answer: {error}")).into_response()
        }
    }
}

/// A file of the page, which may load nothing from elsewhere.
fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

async fn serve(listen: &str, redis: &str) -> Result<(), Box<dyn std::error::Error>> {
    let redis = ConnectionManager::new(redis::Client::open(format!("redis://{redis}/"))?).await?;
    let pages = Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", include_str!("page/page.html"))))
        .route("/page.css", get(async || file("text/css", include_str!("page/page.css"))))
        .route("/page.js", get(async || file("text/javascript", include_str!("page/page.js"))))
        .route("/figures.json", get(serve_figures))
        .with_state(redis);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("the page is at http://{}/", listener.local_addr()?);
    axum::serve(listener, pages).await?;
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::new(std::env::args().skip(1));
    let listen = args.value("listen").unwrap_or("127.0.0.1:8090");
    let redis = args.value("redis").unwrap_or("127.0.0.1:6379");
    let runtime = tokio::runtime::Runtime::new();
    let served =
        runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(serve(listen, redis)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("the page cannot be served: {error}");
            ExitCode::FAILURE
        }
    }
}
