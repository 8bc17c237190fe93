#include "launcher/session.h"

#include "data/loader.h"
#include "dist/communicator.h"
#include "dist/exit_codes.h"
#include "launcher/build_info.h"
#include "launcher/kept_data.h"
#include "launcher/model_file.h"
#include "launcher/opened_run.h"
#include "launcher/run_data.h"
#include "launcher/start_up.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "monitoring/console.h"
#include "monitoring/jsonl.h"
#include "monitoring/prometheus.h"
#include "monitoring/tensorboard.h"
#include "train/accuracy_evaluation.h"
#include "train/bad_samples.h"
#include "train/borrowed.h"
#include "train/click_evaluation.h"
#include "train/dtype.h"
#include "train/ranking_evaluation.h"
#include "train/run_directory.h"
#include "train/summary.h"
#include "train/trainer.h"
#include "train/weights.h"

#include <algorithm>
#include <cstdio>

namespace cltrain {
namespace {

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

/// What the listeners of rank 0 are told when they open.
struct SessionFacts {
  int64_t resume_step, total_steps;
  int64_t restarts;  ///< sessions of the run before this one
};

void open_prometheus(Sinks& sinks, const Options& options, const World& world,
                     const SessionFacts& facts) {
  auto prometheus =
      std::make_unique<PrometheusSink>(options.metrics, RunInfo{.version = version(),
                                                                .commit = commit(),
                                                                .torch = torch_version(),
                                                                .run = options.train.run.dir,
                                                                .method = options.method.name,
                                                                .dataset = options.data.name,
                                                                .ranks = world.size,
                                                                .restarts = facts.restarts,
                                                                .total_steps = facts.total_steps});
  if (prometheus->port() > 0)
    say("  metrics      http://" + options.metrics.bind + ":" + std::to_string(prometheus->port()) +
        "/metrics\n");
  else
    say(prometheus->warning() + "\n");
  sinks.add(std::move(prometheus));
}

/// The listeners of rank 0. The step log is cut to the step that the run continues at.
void open_sinks(Sinks& sinks, const Options& options, const World& world,
                const SessionFacts& facts) {
  const std::filesystem::path dir = options.train.run.dir;
  if (options.metrics.tensorboard)
    sinks.add(std::make_unique<TensorBoardSink>(TensorBoardSettings{
        .folder = dir / "tensorboard",
        .resume_step = facts.resume_step,
        .probes_at_resume = recorded_probes(dir / "evaluations.jsonl", facts.resume_step),
        .every = options.metrics.every,
        .warn = [](const std::string& text) { say(text + "\n"); }}));
  sinks.add(std::make_unique<JsonlSink>(dir / "metrics.jsonl", facts.resume_step));
  if (options.metrics.progress)
    sinks.add(std::make_unique<ConsoleSink>(
        stdout, ConsoleSettings{.terminal = shown_on_terminal(stdout),
                                .total_steps = facts.total_steps,
                                .seconds_between_lines = options.metrics.progress_seconds}));
  if (options.metrics.enabled) open_prometheus(sinks, options, world, facts);
}

std::string initial_weights_text(const std::string& file, const InitialWeights& weights) {
  std::string text = "  weights      " + file + ", SHA-256 " + weights.sha256 + "\n";
  if (weights.ignored.empty()) return text;
  text += "               not of the encoder, left out:";
  for (const std::string& name : weights.ignored) text += " " + name;
  return text + "\n";
}

/// The steps of a run that rank 0 found finished, on every rank; -1 where it is not. And whether it
/// ended before its number of steps.
std::pair<int64_t, bool> finished_at(const World& world, const Communicator& control,
                                     const std::filesystem::path& dir) {
  const auto of_rank_0 = [&](int64_t value) {
    return control.all_gather_count(world.rank == 0 ? value : -1).front();
  };
  const int64_t steps = of_rank_0(world.rank == 0 ? finished_steps(dir).value_or(-1) : -1);
  return {steps, of_rank_0(world.rank == 0 && stopped_early(dir) ? 1 : 0) == 1};
}

std::unique_ptr<Evaluation> evaluation_of(const RunData& data, const Options& options,
                                          const World& world, const Communicators& communicators) {
  if (data.sequences)
    return std::make_unique<RankingEvaluation>(RankingEvaluationParts{
        world, communicators, options.eval, data.sequences->interactions(), options.data.max_length,
        static_cast<uint64_t>(options.train.run.seed)});
  if (data.clicks.train)
    return std::make_unique<ClickEvaluation>(
        ClickEvaluationParts{world, communicators, options.eval, data.clicks});
  return std::make_unique<AccuracyEvaluation>(
      AccuracyEvaluationParts{world, communicators, options.eval, data.seen, options.augment,
                              scalar_type_of(options.train.run), loader_workers(options, world)});
}

/// Networks that the method takes over from elsewhere, into a run that begins.
void load_borrowed(Method& method, const OptionTable& table, const RunData& data,
                   const World& world) {
  for (const BorrowedNetwork& network : method.borrowed()) {
    const std::filesystem::path file = weights_file_of(network, table);
    check_data(data, network.from);
    const InitialWeights weights = load_initial_weights(*network.module, file);
    if (world.rank == 0)
      say("  " + network.option + "  " + file.string() + ", SHA-256 " + weights.sha256 + "\n");
  }
}

}  // namespace

int train(const Options& options, const OptionTable& table, const ResolvedConfig& config,
          const World& world) {
  set_numerics(options.train.run);
  const Communicators communicators = open_communicators(world);
  const std::filesystem::path dir = options.train.run.dir;
  const RunData data = open_data(options);
  const SampleSet& samples = data.samples();
  std::unique_ptr<RunDirectory> run;
  const MethodOptions method_options = with_model_file(options.method);
  if (world.rank == 0) {
    run = std::make_unique<RunDirectory>(dir, table);
    keep_model_file(method_options, dir);
    keep_data(data, dir);
  }

  const auto seed = static_cast<uint64_t>(options.train.run.seed);
  const at::ScalarType type = scalar_type_of(options.train.run);
  const auto method =
      make_method(method_options, seed, *communicators.loss, input_of(data, options));
  move_to(*method, world.device, type);

  const int64_t workers = loader_workers(options, world);
  Loader loader(samples,
                {.seed = seed,
                 .global_batch = options.train.train.global_batch,
                 .micro_batch = options.train.train.micro_batch,
                 .drop_last = options.data.drop_last,
                 .workers = workers,
                 .prefetch = options.data.prefetch,
                 .rank = world.rank,
                 .world_size = world.size},
                rows_of(data, options));
  const auto evaluation = evaluation_of(data, options, world, communicators);
  const CheckpointStore checkpoints(dir / "checkpoints", options.train.checkpoint.keep,
                                    [](const std::string& text) { say(text + "\n"); });
  BadSamples bad_samples(dir, *communicators.control, samples.size(), options.data.max_bad_ratio);
  Sinks sinks;
  Trainer trainer({world, communicators, options.train, options.metrics, *method, loader,
                   bad_samples, *evaluation, checkpoints, samples.size(), dir, options.method.name,
                   config.stem, sinks, environment_of(world)});
  const int64_t total = trainer.total_steps();
  if (world.rank == 0) {
    say(start_up_text(options, world, samples, data.note(), *method, loader.steps_per_epoch(),
                      total));
    for (const std::string& note : run->notes()) say("  note         " + note + "\n");
  }
  const auto [finished, early] = finished_at(world, *communicators.control, dir);
  if (finished >= total || early) {
    if (world.rank == 0)
      say("this run is finished (" + std::to_string(finished) + " steps" +
          (early ? ", ended by train.patience" : "") +
          "); for more, raise train.epochs or train.steps, or set another run.dir\n" +
          results_table(dir));
    return kDone;
  }
  const Trainer::Resumed resumed = trainer.resume();
  if (resumed.step == 0 && !options.method.model.init_from.empty()) {
    const InitialWeights weights = load_initial_weights(*method, options.method.model.init_from);
    if (world.rank == 0) say(initial_weights_text(options.method.model.init_from, weights));
  }
  if (resumed.step == 0) load_borrowed(*method, table, data, world);
  if (world.rank == 0) {
    const int64_t restarts = run->begin_session(world.size, world.host, commit(), resumed.step);
    open_sinks(sinks, options, world,
               {.resume_step = resumed.step, .total_steps = total, .restarts = restarts});
    for (const std::string& note : resumed.notes) say("NOTE: " + note + "\n");
    if (resumed.step > 0) say("resumed at step " + std::to_string(resumed.step) + "\n");
  }
  sinks.state("starting");
  const int code = [&] {
    try {
      return trainer.run();
    } catch (...) {
      sinks.state("failed");
      throw;
    }
  }();
  sinks.state(code == kDone ? "finished" : "stopped");
  sinks.close();
  if (world.rank == 0 && code == kStoppedWithCheckpoint)
    say("stopped with a checkpoint, run me again\n");
  if (world.rank == 0 && code == kDone)
    say(results_table(dir) + "finished; summary in " + (dir / "summary.json").string() + "\n");
  return code;
}

}  // namespace cltrain
