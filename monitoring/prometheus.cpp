#include "monitoring/prometheus.h"

#include "monitoring/series.h"
#include "monitoring/text_server.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <map>

#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>

namespace cltrain {
namespace {

using prometheus::Histogram;

// Half-decades from 1 ms (a toy model) to 100 s (large batches on few cores).
const Histogram::BucketBoundaries kStepBuckets = {.001, .002, .005, .01, .02, .05, .1, .2,
                                                  .5,   1,    2,    5,   10,  20,  50, 100};

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

bool is_accuracy(const std::string& score) {
  return score == "accuracy" || score.starts_with("top");
}

}  // namespace

struct PrometheusSink::Metrics {
  std::shared_ptr<Registry> registry = std::make_shared<Registry>();
  Registry& r = *registry;

  // The run.
  Labelled<Gauge> states{gauges(r, "cltrain_run_state", "1 for what the run does now, else 0."),
                         "state"};
  Counter& steps = counter(r, "cltrain_steps_total", "Steps finished by this process.");
  Counter& samples =
      counter(r, "cltrain_samples_total", "Samples trained on by this process, all ranks.");
  Counter& nonfinite = counter(r, "cltrain_nonfinite_steps_total",
                               "Steps whose update was refused: loss or gradient not finite.");
  Gauge& step = gauge(r, "cltrain_step", "Finished steps of the whole run.");
  Gauge& epoch = gauge(r, "cltrain_epoch", "Current epoch, from 0.");
  Gauge& last_step = gauge(r, "cltrain_last_step_timestamp_seconds",
                           "When the last step finished, seconds since 1970; 0: none yet.");

  // What is learnt.
  Gauge& loss = gauge(r, "cltrain_loss", "Loss of the last global batch.", kNotMeasured);
  Gauge& learning_rate =
      gauge(r, "cltrain_learning_rate", "Learning rate of the last step.", kNotMeasured);
  Gauge& temperature =
      gauge(r, "cltrain_temperature", "Temperature of the contrast; NaN: the method has none.",
            kNotMeasured);
  Labelled<Gauge> scalars{
      gauges(r, "cltrain_scalar", "Scalars of the method: loss components, temperature, ..."),
      "name"};
  Gauge& gradient_norm =
      gauge(r, "cltrain_gradient_norm", "L2 norm of the last step's gradient, before the update.",
            kNotMeasured);
  Gauge& parameter_norm = gauge(r, "cltrain_parameter_norm",
                                "L2 norm of the trained parameters, last measured.", kNotMeasured);
  std::map<std::string, Gauge*, std::less<>> similarity = {
      {"embedding_std",
       &gauge(r, "cltrain_embedding_std",
              "Standard deviation of the embeddings' components over samples, mean; near 0: "
              "collapse.",
              kNotMeasured)},
      {"alignment", &gauge(r, "cltrain_alignment",
                           "Mean squared distance of two views of a sample.", kNotMeasured)},
      {"uniformity",
       &gauge(r, "cltrain_uniformity",
              "Log of the mean Gaussian potential of pairs; 0: all embeddings are one point.",
              kNotMeasured)},
      {"positive_similarity", &gauge(r, "cltrain_positive_similarity",
                                     "Cosine of two views of a sample, mean.", kNotMeasured)},
      {"hardest_negative_similarity",
       &gauge(r, "cltrain_hardest_negative_similarity",
              "Cosine to the nearest view of another sample, mean.", kNotMeasured)}};

  // Speed.
  Gauge& samples_per_second =
      gauge(r, "cltrain_samples_per_second", "Speed of the last step, all ranks.", kNotMeasured);
  Histogram& step_duration = prometheus::BuildHistogram()
                                 .Name("cltrain_step_duration_seconds")
                                 .Help("Time of a step.")
                                 .Register(r)
                                 .Add({}, kStepBuckets);
  Labelled<Counter> phases = labelled_counters(
      r, "cltrain_phase_seconds_total", "Time of rank 0 by phase of the step.", "phase", kPhases);
  Gauge& slowest_rank = gauge(r, "cltrain_slowest_rank",
                              "The rank that the others waited for most in the last step.");
  Gauge& slowest_lag =
      gauge(r, "cltrain_slowest_rank_lag_seconds",
            "How much longer than the mean rank the slowest one worked in the last step.");
  Counter& slowest_lag_total =
      counter(r, "cltrain_slowest_rank_lag_seconds_total",
              "Sum over steps of how much longer the slowest rank worked than the mean one.");
  Labelled<Counter> communication = labelled_counters(
      r, "cltrain_communication_bytes_total", "Bytes that rank 0 sent and received, by collective.",
      "operation", kCollectives);

  // Data.
  Gauge& ready_batches = gauge(r, "cltrain_loader_ready_batches",
                               "Batches waiting in rank 0's loader when the last step began.");
  Labelled<Counter> data_errors = labelled_counters(
      r, "cltrain_data_errors_total",
      "Samples that could not be read and were replaced, all ranks.", "kind", kDataErrorKinds);

  // Memory, checkpoints, evaluations.
  Gauge& resident =
      gauge(r, "cltrain_resident_memory_bytes", "Memory of rank 0's process at the last step.");
  Gauge& peak =
      gauge(r, "cltrain_peak_resident_memory_bytes", "Most memory that rank 0's process ever had.");
  Gauge& device = gauge(r, "cltrain_device_memory_bytes",
                        "Memory allocated on rank 0's GPU at the last step; 0 on the CPU.");
  Counter& checkpoints = counter(r, "cltrain_checkpoints_total", "Checkpoints of this process.");
  Gauge& last_checkpoint =
      gauge(r, "cltrain_checkpoint_last_success_timestamp_seconds",
            "When the last checkpoint was complete, seconds since 1970; 0: none yet.");
  Gauge& checkpoint_duration = gauge(r, "cltrain_checkpoint_duration_seconds",
                                     "Time to write the last checkpoint.", kNotMeasured);
  Gauge& checkpoint_size = gauge(r, "cltrain_checkpoint_size_bytes",
                                 "Size of the last checkpoint on disk.", kNotMeasured);
  Counter& write_failures = counter(r, "cltrain_write_failures_total",
                                    "Checkpoints or records that could not be written.");
  Family<Gauge>& accuracy_family =
      gauges(r, "cltrain_evaluation_accuracy_ratio", "Accuracy of the last evaluation, 0 to 1.");
  Family<Gauge>& score_family =
      gauges(r, "cltrain_evaluation_score", "Other scores of the last evaluation.");
  Labelled<Gauge> evaluation_duration{
      gauges(r, "cltrain_evaluation_duration_seconds", "Time of the last evaluation."), "probe"};

  // Destroyed first: no scrape may run while the rest goes.
  std::unique_ptr<TextServer> server;

  explicit Metrics(const RunInfo& info) {
    gauges(r, "cltrain_build_info", "Always 1; what runs.")
        .Add({{"version", info.version}, {"commit", info.commit}, {"torch", info.torch}})
        .Set(1);
    gauges(r, "cltrain_run_info", "Always 1; what is trained.")
        .Add({{"run", info.run},
              {"method", info.method},
              {"dataset", info.dataset},
              {"ranks", std::to_string(info.ranks)}})
        .Set(1);
    gauge(r, "cltrain_start_timestamp_seconds",
          "When this process opened its metrics, seconds since 1970.", now_seconds());
    gauge(r, "cltrain_restarts", "Sessions of this run before this one.",
          static_cast<double>(info.restarts));
    gauge(r, "cltrain_target_steps", "Steps of the whole run.",
          static_cast<double>(info.total_steps));
    for (std::string_view state : kRunStates) states[state];
    set_state(kRunStates.front());
  }

  void set_state(std::string_view state) {
    for (auto& [name, series] : states) series->Set(name == state ? 1 : 0);
  }
};

PrometheusSink::PrometheusSink(const MetricsOptions& options, const RunInfo& info)
    : metrics_(std::make_unique<Metrics>(info)) {
  serve(options);
}

PrometheusSink::~PrometheusSink() = default;

void PrometheusSink::serve(const MetricsOptions& options) {
  auto text = [registry = metrics_->registry, &peak = metrics_->peak] {
    peak.Set(peak_resident_bytes());
    return prometheus::TextSerializer().Serialize(registry->Collect());
  };
  auto server = std::make_unique<TextServer>("/metrics", "text/plain; version=0.0.4", text);
  port_ = server->open(options.bind, static_cast<int>(options.port));
  if (port_ > 0) {
    metrics_->server = std::move(server);
    return;
  }
  warning_ = "warning: metrics are not served: cannot listen on " + options.bind + ":" +
             std::to_string(options.port) +
             ": the port is taken or the address is not one of this machine; training goes on. Set "
             "metrics.port=0 for a free port, another metrics.bind, or metrics.enabled=false";
}

void PrometheusSink::step(const StepRecord& record) {
  Metrics& m = *metrics_;
  m.steps.Increment();
  m.samples.Increment(static_cast<double>(record.samples));
  if (record.refused || !std::isfinite(record.loss)) m.nonfinite.Increment();
  m.step.Set(static_cast<double>(record.step));
  m.epoch.Set(static_cast<double>(record.epoch));
  m.loss.Set(record.loss);
  m.learning_rate.Set(record.learning_rate);
  m.gradient_norm.Set(record.gradient_norm);
  if (record.parameter_norm > 0) m.parameter_norm.Set(record.parameter_norm);
  for (const auto& [name, value] : record.scalars) {
    m.scalars[name].Set(value);
    if (name == "temperature") m.temperature.Set(value);
  }
  for (const auto& [name, value] : record.similarity) {
    const auto found = m.similarity.find(name);
    (found != m.similarity.end() ? *found->second : m.scalars[name]).Set(value);
  }
  m.samples_per_second.Set(record.samples_per_second);
  m.step_duration.Observe(record.step_seconds);
  add(m.phases, record.phase_seconds);
  m.slowest_rank.Set(static_cast<double>(record.slowest_rank));
  m.slowest_lag.Set(record.slowest_lag_seconds);
  if (record.slowest_lag_seconds > 0) m.slowest_lag_total.Increment(record.slowest_lag_seconds);
  add(m.communication, record.communication_bytes);
  m.ready_batches.Set(static_cast<double>(record.batches_ready));
  add(m.data_errors, record.data_errors);
  m.resident.Set(static_cast<double>(record.resident_bytes));
  m.device.Set(static_cast<double>(record.device_bytes));
  m.last_step.Set(now_seconds());
}

void PrometheusSink::evaluation(const EvaluationRecord& record) {
  for (const auto& [name, value] : record.scores) {
    Family<Gauge>& family = is_accuracy(name) ? metrics_->accuracy_family : metrics_->score_family;
    family.Add({{"probe", record.probe}, {"score", name}}).Set(value);
  }
  metrics_->evaluation_duration[record.probe].Set(record.seconds);
}

void PrometheusSink::checkpoint(const CheckpointRecord& record) {
  metrics_->checkpoints.Increment();
  metrics_->checkpoint_duration.Set(record.seconds);
  metrics_->checkpoint_size.Set(static_cast<double>(record.bytes));
  metrics_->last_checkpoint.Set(now_seconds());
}

void PrometheusSink::write_failure(const std::string& what) {
  metrics_->write_failures.Increment();
}

void PrometheusSink::state(std::string_view state) {
  metrics_->states[state];
  metrics_->set_state(state);
}

}  // namespace cltrain
