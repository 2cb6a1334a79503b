//! Traces: sent over OTLP, and received by a collector of our own on the loopback interface.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use std::{
    error::Error,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// More than the example makes, so that none is dropped.
const QUEUE: usize = 1 << 16;

/// What receives traces.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter();
        let scopes = scopes.flat_map(|it| it.scope_spans);
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(scopes.flat_map(|it| it.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The way of a trace: made by `tracing`, sent over OTLP, received here.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    collector: Collector,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Traces {
    /// Starts the collector on a free port, and sends there what goes on from now on.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let collector = Collector::default();
        let service = TraceServiceServer::new(collector.clone());
        let server = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(server);

        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(format!("http://{address}"))
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let resource = Resource::builder().with_service_name("observed");
        let provider = SdkTracerProvider::builder()
            .with_span_processor(batches.build())
            .with_resource(resource.build())
            .build();
        // Only the layers' own: the exporter's connection tells of itself, too.
        let only = Targets::new().with_target(kv_wrappers::telemetry::TARGET, LevelFilter::DEBUG);
        let tracer = provider.tracer("observed");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(only);
        tracing_subscriber::registry().with(layer).try_init()?;
        Ok(Self {
            provider,
            collector,
            server,
        })
    }

    /// Sends what is left, ends the collector, and returns what it received.
    pub(crate) async fn finish(self) -> Result<Vec<Span>, Box<dyn Error>> {
        let Self {
            provider,
            collector,
            server,
        } = self;
        // It blocks until all is sent.
        tokio::task::spawn_blocking(move || provider.shutdown()).await??;
        server.abort();
        let mut spans = collector
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut spans))
    }
}
