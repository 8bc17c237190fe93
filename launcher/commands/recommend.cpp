// cltrain recommend: what a trained recommender proposes to a user of its data, or to anyone with a
// history, in the ids of the data's file.
#include "eval/recommend.h"

#include "configs/mistakes.h"
#include "data/durable_file.h"
#include "data/sequences/leave_one_out.h"
#include "dist/exit_codes.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "models/methods/sequence_recommender.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

namespace cltrain {
namespace {

/// "a b c" -> the ids of the items of these names; ConfigError with all that are unknown.
std::vector<int32_t> ids_of_names(const std::string& names, const Interactions& all) {
  std::map<std::string, int32_t> ids;
  for (int32_t id = 1; id <= all.items(); ++id) ids.emplace(all.item_name(id), id);
  std::istringstream words(names);
  std::vector<int32_t> found;
  std::string unknown;
  for (std::string word; words >> word;) {
    const auto it = ids.find(word);
    if (it == ids.end())
      unknown += " " + word;
    else
      found.push_back(it->second);
  }
  if (!unknown.empty())
    throw ConfigError("--history: not among the " + std::to_string(all.items()) +
                      " items of this data set:" + unknown);
  if (found.empty()) throw ConfigError("--history is empty; give items, as in --history '12 7 31'");
  return found;
}

std::vector<int32_t> history_of_user(const std::string& name, const Interactions& all) {
  const auto it = std::find(all.user_names.begin(), all.user_names.end(), name);
  if (it == all.user_names.end())
    throw ConfigError("--user " + name + ": not among the " + std::to_string(all.users()) +
                      " users of this data set");
  const auto items = all.history(it - all.user_names.begin());
  return {items.begin(), items.end()};
}

class RecommendCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    cltrain::describe(flags, choice_);
    flags.add("--user", user_, {.doc = "a user, by the name that the data's file has"});
    flags.add("--history", history_,
              {.doc = "instead of a user: items, oldest first, with blanks between them"});
    flags.add("--k", count_, {.doc = "how many items", .min = 1, .max = 100000});
    flags.add("--seen", seen_, {.doc = "propose what is in the history too"});
    flags.add("--out", out_,
              {.doc = "write them here instead, a line an item: rank, item, score, with tabs"});
  }

  int run(const Invocation& invocation) override {
    if (user_.empty() == history_.empty())
      throw ConfigError("for whom? give --user NAME or --history 'ITEM ITEM ...', one of them");
    if (!out_.empty()) check_output("--out", out_, "");
    auto run = open_run(choice_, invocation.overrides, invocation.rank);
    if (!run->data.sequences)
      throw ConfigError("cltrain recommend takes the run of a recommender, and method.name=" +
                        run->options().method.name + " is none");
    if (run->world.rank == 0) recommend(*run);
    close_run(std::move(run));
    return kDone;
  }

 private:
  void recommend(OpenedRun& run) const {
    const c10::NoGradGuard no_grad;
    const Interactions& all = run.data.sequences->interactions();
    const std::vector<int32_t> history =
        user_.empty() ? ids_of_names(history_, all) : history_of_user(user_, all);
    const int64_t window = run.options().data.max_length;
    at::Tensor items = at::empty({1, window}, at::kLong);
    write_window(history, window, items.mutable_data_ptr<int64_t>());
    auto& method = dynamic_cast<SequenceRecommender&>(*run.method);
    const at::Tensor table = method.item_table();
    const at::Tensor user = method.embed(items.to(table.device())).to(table.scalar_type());
    ItemLists excluded = empty_lists(1);
    if (!seen_) {
      const auto count = static_cast<int64_t>(history.size());
      excluded = {at::tensor({int64_t{0}, count}, at::kLong),
                  at::tensor(at::ArrayRef<int32_t>(history), at::kInt)};
    }
    const Recommendations best =
        Recommender(table.to(at::kFloat)).best(user.to(at::kFloat), count_, excluded);
    std::string lines = out_.empty() ? "" : "rank\titem\tscore\n";
    for (int64_t i = 0; i < best.items.size(1); ++i) {
      const auto id = static_cast<int32_t>(best.items[0][i].item<int64_t>());
      if (id < 0) break;  // fewer are left
      char score[32];
      std::snprintf(score, sizeof(score), "%.6g", best.scores[0][i].item<double>());
      lines += std::to_string(i + 1) + "\t" + all.item_name(id) + "\t" + score + "\n";
    }
    if (!out_.empty()) {
      replace_file_durably(out_, lines);
      std::printf("wrote %s\n", out_.c_str());
      return;
    }
    std::printf(
        "%s, %s; %zu items of history, the network sees the last %lld\nrank\titem\tscore\n%s",
        run.options().method.name.c_str(), run.weights.c_str(), history.size(),
        static_cast<long long>(window), lines.c_str());
  }

  RunChoice choice_;
  std::string user_, history_, out_;
  int64_t count_ = 20;
  bool seen_ = false;
};

}  // namespace

std::unique_ptr<Command> make_recommend_command() {
  return std::make_unique<RecommendCommand>();
}

}  // namespace cltrain
