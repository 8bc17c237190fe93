// cltrain plan: memory and traffic of a step on a number of ranks, before there are any. Needs no
// GPU; of the data only what a recommender or click-through model is made for.
#include "train/plan.h"

#include "data/loader.h"
#include "dist/exit_codes.h"
#include "launcher/commands/commands.h"
#include "launcher/model_file.h"
#include "launcher/opened_run.h"
#include "launcher/run_data.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "train/dtype.h"

#include <algorithm>
#include <cstdio>

namespace cltrain {
namespace {

/// 1,234.5 MB: decimal, as networks and batches are counted.
std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

void line(const char* what, int64_t bytes, const std::string& note = "") {
  std::printf("  %-13s%14s  %s\n", what, megabytes(bytes).c_str(), note.c_str());
}

std::string plural(int64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

bool of_pictures(const Options& options) {
  return !view_shape(options.data, options.augment).empty();
}

/// Histories differ in length: some tens of real ones. `data` outlives the result.
PlanSamples real_samples(const RunData& data, const Options& options) {
  PlanSamples samples;
  samples.fields = rows_of(data, options)->fields();
  samples.few = std::clamp<int64_t>(data.samples().size() / 2, 1, 64);
  samples.batch = [&data, &options](int64_t rows) {
    return Loader(data.samples(), {.global_batch = rows, .prefetch = 1}, rows_of(data, options))
        .next();
  };
  return samples;
}

class PlanCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    cltrain::describe(flags, choice_, /*with_weights=*/false);
    flags.add("--ranks", ranks_,
              {.doc = "ranks the step is planned for", .min = 1, .max = 1 << 20});
    flags.add("--threads", threads_,
              {.doc = "threads a rank computes with", .min = 1, .max = 4096});
    flags.add("--classes", classes_,
              {.doc = "of the data, which is not opened: for method.name=finetune",
               .min = 2,
               .max = 1 << 24});
  }

  int run(const Invocation& invocation) override {
    const auto read = read_run_options(choice_, invocation.overrides);
    const Options& options = read->options;
    refuse_problems(options, static_cast<int>(ranks_));
    World world = open_world({.device = "cpu"});
    invocation.rank = world.rank;
    {
      const Communicators alone = open_communicators(world);
      const at::ScalarType type = scalar_type_of(options.train.run);
      const bool pictures = of_pictures(options);
      const RunData data = pictures ? RunData{} : open_data(options);
      InputShape input = pictures ? input_shape(options) : input_of(data, options);
      if (pictures) input.classes = classes_;
      const auto method =
          make_method(with_model_file(options.method),
                      static_cast<uint64_t>(options.train.run.seed), *alone.loss, input);
      move_to(*method, c10::kCPU, type);
      const PlanSamples samples = pictures
                                      ? random_views(options.data, options.augment,
                                                     method_line(options.method.name).views, type)
                                      : real_samples(data, options);
      print(options, *method,
            plan_step(*method, options.method, options.train, samples, options.data.prefetch,
                      static_cast<int>(ranks_), static_cast<int>(threads_), alone));
    }
    close_world(world);
    return kDone;
  }

 private:
  void print(const Options& options, const Method& method, const StepPlan& plan) const {
    const std::string& norm = options.method.model.norm;
    std::printf("%s, %s, %s, global batch %lld: %s of %s\n", options.method.name.c_str(),
                options.method.model.name.c_str(), plural(ranks_, "rank").c_str(),
                static_cast<long long>(options.train.train.global_batch),
                plural(plan.chunks, "chunk").c_str(),
                (plural(plan.chunk_rows, "sample") + " a rank").c_str());
    std::printf("\nmemory of the rank with most samples (%lld)\n",
                static_cast<long long>(plan.rows));
    line("parameters", plan.parameters);
    line("gradients", plan.gradients);
    if (plan.followers > 0)
      line(options.method.name == "srma" ? "complement" : "key encoder", plan.followers,
           "not trained");
    line("optimiser", plan.optimizer, options.train.optim.name);
    line("activations", plan.activations,
         megabytes(plan.activations_per_sample) + " a sample, measured here on the CPU");
    line(of_pictures(options) ? "views" : "rows", plan.samples,
         "this batch and data.prefetch more, in main memory");
    line("embeddings", plan.embeddings, "and their gradients");
    if (plan.queue > 0) line("queue", plan.queue, "this rank's part");
    line("loss", plan.loss.peak(),
         "rows " + megabytes(plan.loss.rows) + ", packed " + megabytes(plan.loss.packed) +
             ", gradients " + megabytes(plan.loss.gradients));
    line("together", plan.total());
    if (method.classifies())
      std::printf("\nclasses of the data: %lld (--classes)\n", static_cast<long long>(classes_));
    else if (plan.loss_shape.width > 0)
      print_exchanges(options, method, plan);
    std::printf("\nreceived by a rank a step\n");
    line("loss", plan.loss.received_forward + plan.loss.received_backward);
    line("gradients", plan.received_gradients, "sum over ranks");
    if (norm == "sync")
      std::printf("  and the statistics of sync batch norm, a few kB a layer and chunk\n");
  }

  void print_exchanges(const Options& options, const Method& method, const StepPlan& plan) const {
    std::printf(
        "\nloss by loss.exchange (width %lld, %s)\n", static_cast<long long>(plan.loss_shape.width),
        options.method.loss.dtype == "bfloat16" ? "bfloat16" : options.train.run.dtype.c_str());
    for (const char* exchange : {"gather", "balanced", "ring"}) {
      LossOptions loss = options.method.loss;
      loss.exchange = exchange;
      MethodOptions chosen = options.method;
      chosen.loss = loss;
      if (!problems(chosen, static_cast<int>(ranks_)).empty()) continue;  // not of this method
      const LossPlan other = method.plan_loss(plan.loss_shape, contrast_settings(loss));
      line(exchange, other.peak(),
           "received: forward " + megabytes(other.received_forward) + ", backward " +
               megabytes(other.received_backward) +
               (options.method.loss.exchange == exchange ? "   <- chosen" : ""));
    }
  }

  RunChoice choice_;
  int64_t ranks_ = 1, threads_ = 1, classes_ = 1000;
};

}  // namespace

std::unique_ptr<Command> make_plan_command() {
  return std::make_unique<PlanCommand>();
}

}  // namespace cltrain
