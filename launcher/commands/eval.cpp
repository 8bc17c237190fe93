// cltrain eval: kNN, linear probe and retrieval of an encoder, and the classifier that a run has
// trained, each sample embedded once; of a recommender the rank of each user's last item, of a
// click-through model its AUC. Over all ranks.
#include "configs/mistakes.h"
#include "data/durable_file.h"
#include "dist/exit_codes.h"
#include "eval/features.h"
#include "eval/knn.h"
#include "eval/linear_probe.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "train/accuracy_evaluation.h"
#include "train/click_evaluation.h"
#include "train/ranking_evaluation.h"
#include "train/summary.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace cltrain {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class... Values>
std::string format(const char* text, Values... values) {
  char line[256];
  std::snprintf(line, sizeof(line), text, values...);
  return line;
}

class EvalCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    cltrain::describe(flags, choice_);
    flags.add("--probe", probes_,
              {.doc = "what to measure, several with a comma between them",
               .choices = {"knn", "linear", "retrieval", "classifier"}});
    flags.add("--untrained", untrained_,
              {.doc = "measure the run's encoder with its initial weights instead: what training "
                      "is compared with"});
    flags.add("--out", out_, {.doc = "write the results here too, a JSON line a probe"});
  }

  int run(const Invocation& invocation) override {
    if (untrained_ && !choice_.weights.empty())
      throw ConfigError("--untrained and --weights exclude each other");
    if (!out_.empty()) check_output("--out", out_, "");
    const auto asked = std::count(probes_.begin(), probes_.end(), "classifier");
    if (asked && (choice_.run.empty() || untrained_))
      throw ConfigError(
          "--probe classifier measures what a run has trained: it goes with --run DIR, without "
          "--untrained");
    auto run = open_run(choice_, invocation.overrides, invocation.rank, !untrained_);
    if (run->data.sequences) return rank_answers_of(std::move(run));
    if (run->data.clicks.train) return score_clicks_of(std::move(run));
    if (asked && !run->method->classifies())
      throw ConfigError("--probe classifier: method.name=" + run->options().method.name +
                        " trains no classifier; allowed for it: knn, linear, retrieval; or train "
                        "one with method.name=finetune");
    const DatasetPair& data = run->data.seen;
    if (!data.test || data.train->classes() == 0)
      throw DataError("cltrain eval needs a labelled test set: " + data.note);
    say(run->world, "encoder   " + run->options().method.model.name + " of " + run->read->name +
                        ", " + run->weights + "\ndata      " + data.train->describe() +
                        "\n          " + data.test->describe() + "\n");
    const auto started = Clock::now();
    // The classifier needs no training samples.
    const bool both = asked < static_cast<std::ptrdiff_t>(probes_.size());
    const Features train = both ? embed(*run, *data.train) : Features{};
    const Features test = embed(*run, *data.test);
    const Communicator& control = *run->communicators.control;
    const int64_t left_out = (both ? total_left_out(train, *data.train, control) : 0) +
                             total_left_out(test, *data.test, control);
    say(run->world, format("embedded  %lld + %lld samples, %lld values each, in %.1f s\n",
                           static_cast<long long>(both ? data.train->size() : 0),
                           static_cast<long long>(data.test->size()),
                           static_cast<long long>(test.vectors.size(1)), seconds_since(started)));
    if (left_out > 0)
      say(run->world, format("WARNING: %lld samples were left out; the first: ",
                             static_cast<long long>(left_out)) +
                          train.first_left_out + test.first_left_out + "\n");
    std::string lines;
    for (const std::string& probe : probes_) {
      const ProbeReport report = measure(probe, *run, train, test, left_out);
      print(*run, report);
      lines += report_text(report) + "\n";
      if (run->world.rank == 0 && !run->folder.empty()) append_report(run->folder, report);
    }
    if (run->world.rank == 0 && !out_.empty()) replace_file_durably(out_, lines);
    if (!run->folder.empty())
      say(run->world, "appended to " + (run->folder / "summary.json").string() + "\n");
    close_run(std::move(run));
    return kDone;
  }

 private:
  /// What a recommender is measured by, whatever --probe says of encoders.
  int rank_answers_of(std::unique_ptr<OpenedRun> run) const {
    const Options& options = run->options();
    say(run->world, "network   " + options.method.name + " of " + run->read->name + ", " +
                        run->weights + "\ndata      " + run->data.sequences->describe() + "\n");
    const auto started = Clock::now();
    const RankingEvaluation evaluation(
        {run->world, run->communicators, options.eval, run->data.sequences->interactions(),
         options.data.max_length, static_cast<uint64_t>(options.train.run.seed)});
    const RankingResult result = evaluation.rank(*run->method, HeldOutPart::kTest);
    ProbeReport report{.probe = "ranking", .weights = run->weights, .step = run->step};
    report.seed = options.train.run.seed;
    report.ranks = run->world.size;
    report.scores = named_values(result);
    report.accuracy.queries = result.users;
    report.protocol = ranking_protocol(options.eval);
    report.seconds = seconds_since(started);
    say(run->world, to_text(result) +
                        format("\n          %lld users, %.1f s\n          ",
                               static_cast<long long>(result.users), report.seconds) +
                        report.protocol + "\n");
    if (result.answers_in_history > 0)
      say(run->world,
          format("          %lld answers are in their user's history, where eval.history=%s keeps "
                 "them from being found\n",
                 static_cast<long long>(result.answers_in_history), options.eval.history.c_str()));
    return finish(std::move(run), report);
  }

  int score_clicks_of(std::unique_ptr<OpenedRun> run) const {
    const Options& options = run->options();
    say(run->world, "network   " + options.method.name + " of " + run->read->name + ", " +
                        run->weights + "\ndata      " + run->data.clicks.train->describe() +
                        "\n          " + run->data.clicks.note + "\n");
    const auto started = Clock::now();
    const ClickEvaluation evaluation(
        {run->world, run->communicators, options.eval, run->data.clicks});
    const AucResult result = evaluation.auc(*run->method);
    ProbeReport report{.probe = "clicks", .weights = run->weights, .step = run->step};
    report.seed = options.train.run.seed;
    report.ranks = run->world.size;
    report.scores = {{"AUC", result.auc}};
    if (!run->data.clicks.rule.empty())
      report.scores.emplace_back("rule_AUC", evaluation.auc_of_rule().auc);
    report.accuracy.queries = result.positives + result.negatives;
    report.protocol = "area under the ROC curve over all test rows, ties by half";
    report.seconds = seconds_since(started);
    std::string text;
    for (const auto& [name, value] : report.scores) text += format("%s %.4f ", name.c_str(), value);
    say(run->world, text +
                        format("\n          %lld rows, %lld clicks, %.1f s\n          ",
                               static_cast<long long>(report.accuracy.queries),
                               static_cast<long long>(result.positives), report.seconds) +
                        report.protocol + "\n");
    return finish(std::move(run), report);
  }

  int finish(std::unique_ptr<OpenedRun> run, const ProbeReport& report) const {
    if (run->world.rank == 0 && !out_.empty())
      replace_file_durably(out_, report_text(report) + "\n");
    if (!run->folder.empty()) {
      if (run->world.rank == 0) append_report(run->folder, report);
      say(run->world, "appended to " + (run->folder / "summary.json").string() + "\n");
    }
    close_run(std::move(run));
    return kDone;
  }

  static Features embed(OpenedRun& run, const Dataset& dataset) {
    return embed_share(dataset, run.options().augment, encoder_of(run), embed_settings(run));
  }

  ProbeReport measure(const std::string& probe, const OpenedRun& run, const Features& train,
                      const Features& test, int64_t left_out) const {
    const Options& options = run.options();
    const Communicator& control = *run.communicators.control;
    const int64_t classes = run.data.seen.train->classes();
    ProbeReport report{.probe = probe, .weights = run.weights, .step = run.step};
    report.seed = options.train.run.seed;
    report.ranks = run.world.size;
    report.left_out = left_out;
    const auto started = Clock::now();
    if (probe == "knn") {
      report.accuracy = knn_accuracy(train, test, classes, options.eval.knn_k,
                                     options.eval.knn_temperature, control);
      report.protocol =
          format("weighted kNN, cosine, k = %lld, T = %g",
                 static_cast<long long>(options.eval.knn_k), options.eval.knn_temperature);
    } else if (probe == "retrieval") {
      const RetrievalResult result = retrieval_recall(train, test, {1, 5, 10, 20}, control);
      report.recall = result.recall;
      report.accuracy.queries = result.queries;
      report.protocol =
          "share of the test samples with one of their class among the nearest "
          "training samples, cosine";
    } else if (probe == "classifier") {
      report.accuracy = classifier_accuracy(*run.method, test, control);
      report.protocol =
          "the run's own classifier on the mean features of a sample's plain views: the mean of "
          "their logits";
    } else {
      const ProbeResult result =
          linear_probe(train, test, classes, options.eval.probe,
                       static_cast<uint64_t>(options.train.run.seed), control);
      report.accuracy = result;
      report.protocol = result.protocol;
    }
    report.seconds = seconds_since(started);
    return report;
  }

  static void print_recall(const OpenedRun& run, const ProbeReport& report) {
    std::string text = report.probe;
    for (const auto& [neighbours, share] : report.recall)
      text += format(" R@%lld %6.2f %%  ", static_cast<long long>(neighbours), 100 * share);
    say(run.world, text +
                       format("(%lld queries, %.1f s)\n",
                              static_cast<long long>(report.accuracy.queries), report.seconds) +
                       "          " + report.protocol + "\n");
  }

  static void print(const OpenedRun& run, const ProbeReport& report) {
    if (!report.recall.empty()) return print_recall(run, report);
    std::vector<ClassAccuracy> classes = report.accuracy.classes;
    std::stable_sort(classes.begin(), classes.end(),
                     [](const auto& a, const auto& b) { return a.top1 > b.top1; });
    std::string text =
        format("%-9s top-1 %6.2f %%   top-5 %6.2f %%   (%lld samples, %.1f s)\n",
               report.probe.c_str(), 100 * report.accuracy.top1, 100 * report.accuracy.top5,
               static_cast<long long>(report.accuracy.queries), report.seconds);
    text += "          " + report.protocol + "\n";
    if (!classes.empty())
      text += format("          best class %lld with %.1f %%, worst class %lld with %.1f %%\n",
                     static_cast<long long>(classes.front().label), 100 * classes.front().top1,
                     static_cast<long long>(classes.back().label), 100 * classes.back().top1);
    say(run.world, text);
  }

  RunChoice choice_;
  std::vector<std::string> probes_ = {"knn", "linear"};
  bool untrained_ = false;
  std::string out_;
};

}  // namespace

std::unique_ptr<Command> make_eval_command() {
  return std::make_unique<EvalCommand>();
}

}  // namespace cltrain
