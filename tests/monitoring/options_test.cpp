#include "monitoring/options.h"

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(MetricsOptions, AreDeclaredWithTheirDefaultsAndMayChangeOnResume) {
  OptionTable table;
  MetricsOptions options;
  describe(table, options);
  ASSERT_NE(table.find("metrics.port"), nullptr);
  EXPECT_EQ(table.find("metrics.port")->default_text(), "9400");
  ASSERT_NE(table.find("metrics.bind"), nullptr);
  EXPECT_NE(table.find("metrics.bind")->default_text().find("127.0.0.1"), std::string::npos);
  for (const Option& option : table.options()) {
    EXPECT_TRUE(option.name().starts_with("metrics.")) << option.name();
    EXPECT_TRUE(option.spec().safe_to_change) << option.name();
  }
}

TEST(MetricsOptions, PortsOutsideTheRangeAreRefused) {
  OptionTable table;
  MetricsOptions options;
  describe(table, options);
  Option* port = table.find("metrics.port");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->assign("0"), "");
  EXPECT_EQ(options.port, 0);
  EXPECT_NE(port->assign("65536"), "");
  EXPECT_NE(port->assign("-1"), "");
  EXPECT_EQ(options.port, 0);
}

}  // namespace
}  // namespace cltrain
