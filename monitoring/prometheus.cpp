#include "monitoring/prometheus.h"

#include "monitoring/text_server.h"

#include <chrono>
#include <cmath>
#include <map>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace cltrain {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

// Half-decades from 1 ms (a toy model) to 100 s (large batches on few cores).
const Histogram::BucketBoundaries kStepBuckets = {.001, .002, .005, .01, .02, .05, .1, .2,
                                                  .5,   1,    2,    5,   10,  20,  50, 100};

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

bool is_accuracy(const std::string& score) {
  return score == "accuracy" || score.starts_with("top");
}

}  // namespace

// Series are looked up once: Family::Add takes the lock that a scrape holds while it copies the
// family. What the maps hold is found without it.
struct PrometheusSink::Metrics {
  std::shared_ptr<Registry> registry = std::make_shared<Registry>();
  Registry& r = *registry;

  Counter& steps = counters(r, "cltrain_steps_total", "Steps finished by this process.").Add({});
  Counter& samples =
      counters(r, "cltrain_samples_total", "Samples trained on by this process, all ranks.")
          .Add({});
  Counter& nonfinite = counters(r, "cltrain_nonfinite_steps_total",
                                "Steps whose update was refused: loss or gradient not finite.")
                           .Add({});
  Gauge& step = gauges(r, "cltrain_step", "Finished steps of the whole run.").Add({});
  Gauge& epoch = gauges(r, "cltrain_epoch", "Current epoch, from 0.").Add({});
  Gauge& loss = gauges(r, "cltrain_loss", "Loss of the last global batch.").Add({});
  Gauge& learning_rate =
      gauges(r, "cltrain_learning_rate", "Learning rate of the last step.").Add({});
  Gauge& samples_per_second =
      gauges(r, "cltrain_samples_per_second", "Speed of the last step, all ranks.").Add({});
  Gauge& last_step = gauges(r, "cltrain_last_step_timestamp_seconds",
                            "When the last step finished, seconds since 1970; 0: none yet.")
                         .Add({});
  Gauge& last_checkpoint =
      gauges(r, "cltrain_checkpoint_last_success_timestamp_seconds",
             "When the last checkpoint was complete, seconds since 1970; 0: none yet.")
          .Add({});
  Histogram& step_duration = prometheus::BuildHistogram()
                                 .Name("cltrain_step_duration_seconds")
                                 .Help("Time of a step.")
                                 .Register(r)
                                 .Add({}, kStepBuckets);
  Family<Counter>& phase_family =
      counters(r, "cltrain_phase_seconds_total", "Time spent by phase of the step.");
  Family<Gauge>& scalar_family =
      gauges(r, "cltrain_scalar", "Loss components and other scalars of the last step.");
  Family<Gauge>& accuracy_family =
      gauges(r, "cltrain_evaluation_accuracy_ratio", "Accuracy of the last evaluation, 0 to 1.");
  Family<Gauge>& score_family =
      gauges(r, "cltrain_evaluation_score", "Other scores of the last evaluation.");
  std::map<std::string, Counter*> phases;
  std::map<std::string, Gauge*> scalars;
  std::unique_ptr<TextServer> server;

  explicit Metrics(const RunInfo& info) {
    for (std::string_view phase : kPhases) add_phase_seconds(std::string(phase), 0);
    gauges(r, "cltrain_build_info", "Always 1; what runs.")
        .Add({{"version", info.version}, {"commit", info.commit}, {"torch", info.torch}})
        .Set(1);
    gauges(r, "cltrain_run_info", "Always 1; what is trained.")
        .Add({{"run", info.run},
              {"method", info.method},
              {"dataset", info.dataset},
              {"ranks", std::to_string(info.ranks)}})
        .Set(1);
  }

  void add_phase_seconds(const std::string& phase, double seconds) {
    Counter*& counter = phases[phase];
    if (counter == nullptr) counter = &phase_family.Add({{"phase", phase}});
    if (seconds > 0) counter->Increment(seconds);
  }

  void set_scalar(const std::string& name, double value) {
    Gauge*& gauge = scalars[name];
    if (gauge == nullptr) gauge = &scalar_family.Add({{"name", name}});
    gauge->Set(value);
  }
};

PrometheusSink::PrometheusSink(const MetricsOptions& options, const RunInfo& info)
    : metrics_(std::make_unique<Metrics>(info)) {
  serve(options);
}

PrometheusSink::~PrometheusSink() = default;

void PrometheusSink::serve(const MetricsOptions& options) {
  auto text = [registry = metrics_->registry] {
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
  m.samples_per_second.Set(record.samples_per_second);
  m.step_duration.Observe(record.step_seconds);
  for (const auto& [phase, seconds] : record.phase_seconds) m.add_phase_seconds(phase, seconds);
  for (const auto& [name, value] : record.scalars) m.set_scalar(name, value);
  m.last_step.Set(now_seconds());
}

void PrometheusSink::evaluation(const EvaluationRecord& record) {
  for (const auto& [name, value] : record.scores) {
    Family<Gauge>& family = is_accuracy(name) ? metrics_->accuracy_family : metrics_->score_family;
    family.Add({{"probe", record.probe}, {"score", name}}).Set(value);
  }
}

void PrometheusSink::checkpoint(const CheckpointRecord& record) {
  metrics_->last_checkpoint.Set(now_seconds());
}

}  // namespace cltrain
