#include "monitoring/plot.h"

#include "monitoring/axis.h"
#include "monitoring/curves.h"
#include "tests/support/temporary_folder.h"

#include <cmath>
#include <fstream>
#include <limits>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> labels(double low, double high) {
  const Axis axis = make_axis(low, high, 5);
  std::vector<std::string> all;
  for (const double tick : axis.ticks) all.push_back(tick_label(tick, axis.step));
  return all;
}

TEST(Axis, TicksAreRoundAndLabelsShort) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(labels(0, 12000), (Texts{"0", "5k", "10k"}));
  EXPECT_EQ(labels(0, 2000), (Texts{"0", "500", "1k", "1.5k", "2k"}));
  EXPECT_EQ(labels(0, 3.2e6), (Texts{"0", "1M", "2M", "3M"}));
  EXPECT_EQ(labels(4.1, 5.9), (Texts{"4.5", "5", "5.5"}));
  EXPECT_EQ(labels(-0.3, 0.3), (Texts{"-0.2", "0", "0.2"}));
  EXPECT_EQ(labels(0, 0.1), (Texts{"0", "0.02", "0.04", "0.06", "0.08", "0.1"}));
  EXPECT_EQ(labels(0, 1.5e-4), (Texts{"0", "5e-5", "1e-4", "1.5e-4"}));
  EXPECT_EQ(labels(-2000, 0), (Texts{"-2k", "-1.5k", "-1k", "-500", "0"}));
}

TEST(Axis, EveryRangeCanBeDrawn) {
  const double values[] = {0,
                           1,
                           -1,
                           1e-300,
                           1e300,
                           5.0,
                           std::nextafter(5.0, 6.0),
                           kNaN,
                           std::numeric_limits<double>::infinity()};
  for (const double low : values)
    for (const double high : values) {
      const Axis axis = make_axis(low, high, 5);
      EXPECT_LT(axis.low, axis.high) << low << " " << high;
      EXPECT_TRUE(std::isfinite(axis.low) && std::isfinite(axis.high)) << low << " " << high;
      EXPECT_GE(axis.ticks.size(), 1u) << low << " " << high;
      EXPECT_LE(axis.ticks.size(), 12u) << low << " " << high;
      for (const double tick : axis.ticks) EXPECT_TRUE(std::isfinite(tick));
    }
}

TEST(Curves, ThinningKeepsEndsSpikesAndGaps) {
  Curve curve;
  for (int step = 1; step <= 100000; ++step)
    curve.add(step, step == 77777 ? 9 : step > 40000 && step < 50000 ? kNaN : 1);
  curve.values.back() = 3;
  const Curve thin = thinned(curve, 1500);
  EXPECT_LE(thin.size(), 1500u);
  EXPECT_EQ(thin.steps.front(), 1);
  EXPECT_EQ(thin.steps.back(), 100000);
  EXPECT_EQ(thin.values.back(), 3);
  bool spike = false, gap = false;
  for (size_t i = 0; i < thin.size(); ++i) {
    spike = spike || (thin.steps[i] == 77777 && thin.values[i] == 9);
    gap = gap || std::isnan(thin.values[i]);
    if (i > 0) {
      EXPECT_GT(thin.steps[i], thin.steps[i - 1]);
    }
  }
  EXPECT_TRUE(spike);
  EXPECT_TRUE(gap);
  EXPECT_EQ(thinned(thin, 1500).steps, thin.steps);
}

TEST(Curves, MovingMeanIsCentredAndLeavesOutWhatIsNoNumber) {
  Curve curve;
  for (const double value : {1.0, 2.0, 6.0, kNaN, 4.0}) curve.add(1 + curve.steps.size(), value);
  EXPECT_EQ(moving_mean(curve, 3).values, (std::vector<double>{1.5, 3, 4, 5, 4}));
  Curve nothing;
  nothing.add(1, kNaN);
  EXPECT_TRUE(std::isnan(moving_mean(nothing, 3).values[0]));
}

TEST(Curves, ASawIsNoisyAndASlopeIsNot) {
  Curve saw, slope;
  for (int i = 0; i < 100; ++i) {
    saw.add(i, i % 2);
    slope.add(i, i);
  }
  EXPECT_TRUE(is_noisy(saw));
  EXPECT_FALSE(is_noisy(slope));
}

class PlotTest : public ::testing::Test {
 protected:
  fs::path make_run(const std::string& name, const std::string& metrics,
                    const std::string& evaluations = "") {
    const fs::path run = folder_ / name;
    fs::create_directories(run);
    std::ofstream(run / "metrics.jsonl", std::ios::binary) << metrics;
    if (!evaluations.empty())
      std::ofstream(run / "evaluations.jsonl", std::ios::binary) << evaluations;
    return run;
  }

  static std::string steps(int last, const std::string& loss = "1.5") {
    std::string text;
    for (int step = 1; step <= last; ++step)
      text += R"({"step":)" + std::to_string(step) + R"(,"epoch":0,"loss":)" + loss +
              R"(,"lr":0.1,"samples_per_second":)" + std::to_string(500 + step % 7) + "}\n";
    return text;
  }

  static std::string message(const std::vector<fs::path>& runs) {
    try {
      plot_runs_svg(runs);
    } catch (const RecordError& error) {
      return error.what();
    }
    return "";
  }

  static size_t count(const std::string& text, const std::string& part) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(PlotTest, ARunWithEvaluations) {
  const std::string svg = plot_runs_svg(
      {make_run("a<b>&\"c\"", steps(20),
                R"({"step":0,"probe":"raw_pixels","scores":{"top1":0.25},"seconds":1})"
                "\n"
                R"({"step":10,"probe":"knn","scores":{"top1":0.5,"top5":0.9},"seconds":1})"
                "\n"
                R"({"step":20,"probe":"knn","scores":{"top1":0.625,"top5":0.9},"seconds":1})"
                "\n"
                R"({"step":20,"probe":"ranking","scores":{"ndcg":0.1},"seconds":1})"
                "\n")});
  EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("a&lt;b&gt;&amp;&quot;c&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("a<b>"), std::string::npos);
  for (const char* text : {">Loss<", ">Accuracy<", ">Samples per second<", ">Learning rate<",
                           ">raw_pixels<", ">knn<", "20 steps, loss 1.5, knn 62.5 %"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  EXPECT_EQ(count(svg, "<circle"), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("href"), std::string::npos);
  EXPECT_EQ(count(svg, "<g "), count(svg, "</g>"));
}

TEST_F(PlotTest, OfARecommenderTheRankingIsDrawn) {
  const std::string svg = plot_runs_svg({make_run(
      "r", steps(20),
      R"({"step":0,"probe":"popularity","scores":{"HR@5":0.1,"NDCG@20":0.05},"seconds":1})"
      "\n"
      R"({"step":20,"probe":"test","scores":{"HR@5":0.2,"NDCG@20":0.125},"seconds":1})"
      "\n")});
  for (const char* text : {">NDCG@20<", ">popularity<", ">test<", "test 12.5 %"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  EXPECT_EQ(svg.find(">Accuracy<"), std::string::npos);
}

TEST_F(PlotTest, SeveralRunsAreToldApart) {
  const std::string svg =
      plot_runs_svg({make_run("one/x", steps(5)), make_run("two/x/", steps(7))});
  EXPECT_NE(svg.find("2 runs"), std::string::npos);
  EXPECT_NE(svg.find("one/x: 5 steps"), std::string::npos);
  EXPECT_NE(svg.find("two/x: 7 steps"), std::string::npos);
  EXPECT_GE(count(svg, "#0072B2"), 4u);
  EXPECT_GE(count(svg, "#D55E00"), 4u);
  EXPECT_NE(svg.find("nothing measured yet"), std::string::npos);  // no evaluation
}

TEST_F(PlotTest, ALongRunIsASmallPicture) {
  const std::string svg = plot_runs_svg({make_run("long", steps(50000))});
  EXPECT_LT(svg.size(), 4 * kPlotPoints * 16);
  EXPECT_LE(count(svg, "L"), 4 * kPlotPoints + 10);
}

TEST_F(PlotTest, ARunThatIsBeingWrittenOrNotFinite) {
  const fs::path run = make_run("now", steps(3) + R"({"step":4,"epoch":0,"lo)");
  EXPECT_NE(plot_runs_svg({run}).find("3 steps"), std::string::npos);
  const std::string svg = plot_runs_svg({make_run("nan", steps(3, "null"))});
  EXPECT_NE(svg.find("nothing measured yet"), std::string::npos);
  EXPECT_EQ(svg.find("=\"nan"), std::string::npos);
}

TEST_F(PlotTest, DamageIsNamedByFileAndLine) {
  EXPECT_NE(message({make_run("a", steps(2) + "garbage\n")}).find("a/metrics.jsonl:3: damaged"),
            std::string::npos);
  EXPECT_NE(message({make_run("b", steps(2) + "{\"step\":3}\n")}).find("\"loss\""),
            std::string::npos);
  EXPECT_NE(message({make_run("c", steps(2) + steps(1))}).find("step 1 comes after 2"),
            std::string::npos);
  EXPECT_NE(message({make_run("d", steps(1) + steps(1))}).find("metrics.jsonl:2"),
            std::string::npos);
  EXPECT_NE(message({make_run("e", steps(1, "\"high\""))}).find("metrics.jsonl:1"),
            std::string::npos);
  EXPECT_NE(
      message({make_run("f", steps(1), "{\"step\":1,\"probe\":3}\n")}).find("evaluations.jsonl:1"),
      std::string::npos);
}

TEST_F(PlotTest, MissingRunsSaySo) {
  EXPECT_NE(message({folder_ / "nowhere"}).find("there is no run directory"), std::string::npos);
  EXPECT_NE(message({folder_.path()}).find("holds no metrics.jsonl"), std::string::npos);
  EXPECT_NE(message({make_run("empty", "")}).find("no step yet"), std::string::npos);
  EXPECT_NE(message({}).find("at least one"), std::string::npos);
}

}  // namespace
}  // namespace cltrain
